//! Who is let read, by what the kernel says of the process that connected: groups, ends, and other namespaces.
//!
//! To be other users takes root; without it the scenarios say that they are skipped.

mod hidden;
mod namespaces;
mod processes;
mod readers;

use std::path::Path;

use keyside_tests::http;
use keyside_tests::report::root_or_skip;
use keyside_tests::user::User;

/// A user of this machine that nobody else is.
const TRAINER: u32 = 61_001;
const STRANGER: u32 = 61_002;
const ML: u32 = 62_001;

fn may_be_others() -> bool {
    root_or_skip("only root can be other users")
}

/// The status that a user gets for the value of a secret.
fn status(user: User<'_>, socket: &Path, name: &str) -> u16 {
    user.act(|| http::get(socket, &format!("/v1/secrets/{name}/value")).status)
}
