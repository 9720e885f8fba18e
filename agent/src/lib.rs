//! Keyside.
