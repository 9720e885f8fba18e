//! The configuration file: its shape, and the checked configuration that the rest of the agent works with.

mod document;

pub use document::Problem;
