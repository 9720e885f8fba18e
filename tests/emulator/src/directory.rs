//! The tenant: who exists in it, and who signs for it.
