//! IMDS: the link-local endpoint that hands a virtual machine its identities' tokens.

use std::sync::Arc;

use axum::Router;

use crate::clock::Clock;
use crate::directory::Directory;

/// The routes of this endpoint.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router { unimplemented!() }
