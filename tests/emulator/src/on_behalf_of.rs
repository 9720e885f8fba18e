//! The endpoint that gives an Azure ML job a token of the user who submitted it.

use std::sync::Arc;

use axum::Router;

use crate::clock::Clock;
use crate::directory::Directory;

/// The routes of this endpoint.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router { unimplemented!() }
