//! Azure on localhost.
