//! An error and its causes as one line, which is how they are logged, reported and shown.

/// An error and its causes in one line, outermost first.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::FetchError;

    #[test]
    fn causes_follow_their_error_in_one_line() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = FetchError::Unavailable(refused.into());
        assert_eq!(with_causes(&error), "the vault cannot be reached: connection refused");
        assert!(with_causes(&FetchError::NotFound).starts_with("the vault has no such secret or version: "));
    }
}
