//! The instance metadata service's identity endpoint.
