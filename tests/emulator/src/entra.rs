//! The Entra token endpoints.
