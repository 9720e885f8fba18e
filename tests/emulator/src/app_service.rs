//! The App Service identity endpoint.
