//! Notices when a service rejects a token: the SDK alone would go on presenting it until it expires.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::headers::AUTHORIZATION;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, StatusCode};

use super::Identity;

/// A policy below the one that presents tokens, which tells the identity of each that a 401 has rejected.
#[derive(Debug)]
pub struct RejectionWatch(pub Arc<Identity>);

#[expect(elided_lifetimes_in_paths, reason = "async_trait demands the signature exactly as the SDK writes it")]
#[async_trait]
impl Policy for RejectionWatch {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let response = next[0].send(context, request, &next[1..]).await?;
        if response.status() == StatusCode::Unauthorized
            && let Some(token) = request.headers().get_optional_str(&AUTHORIZATION)
        {
            self.0.reject(token.strip_prefix("Bearer ").unwrap_or(token));
        }
        Ok(response)
    }
}
