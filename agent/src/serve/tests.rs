//! The server over a real socket.

mod limits;
mod malformed;
mod operation;
mod reading;
