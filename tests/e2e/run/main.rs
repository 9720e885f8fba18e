//! `keyside run`: a command with secrets in its environment, beside an agent that is there as long as it is needed.

mod changes;
mod ends;
mod inheritance;
mod job;
mod sharing;
mod signals;
mod terminals;
mod wrapper;
