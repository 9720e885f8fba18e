//! The server over a real socket.

mod auditing;
mod changing;
mod contract;
mod hiding;
mod limits;
mod malformed;
mod operation;
mod reading;
