//! Servers that a read over the socket is measured beside: what a program can do that does less.

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// A tokio loop on one thread, on bare bytes.
    HandRolled,
    /// A thread for each connection that writes back what it reads.
    Echo,
    /// hyper as it comes, with the standard allocator.
    Hyper,
}

impl Floor {
    /// All of them; the first is what the agent is compared with.
    pub(crate) const ALL: [Self; 3] = [Self::HandRolled, Self::Echo, Self::Hyper];

    /// What it is called on its command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HandRolled => "hand-rolled",
            Self::Echo => "echo",
            Self::Hyper => "hyper",
        }
    }
}
