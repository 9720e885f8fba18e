//! What of a value, a token or a credential is in memory: of the agent and of each process beside it, in a core file, and for
//! another process of the same user.
//!
//! Reading another process's memory takes root and `CAP_SYS_PTRACE`; without them the scenarios say that they are skipped.

mod cast;
mod credentials;
mod outside;
mod processes;
mod story;
mod stuck;
mod whole_life;
