//! The server over a real socket.

mod changing;
mod contract;
mod crowd;
mod limits;
mod malformed;
mod operation;
mod reading;
