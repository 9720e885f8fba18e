//! The error that a service of Azure describes in the body of its answer.

use serde::Deserialize;

use super::quotation::first_line;

/// What the body of an answer says went wrong; empty where it says nothing, as that of a gateway does.
/// Sources: `KeyVaultError` in the Key Vault REST specification, and
/// <https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#handling-errors>.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// The code.
    pub code: String,
    /// The code that says it more exactly, where there is one.
    pub inner_code: String,
    /// The words, for people; they may quote what was sent.
    pub message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Detail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    code: Option<String>,
    message: Option<String>,
    innererror: Option<Inner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    code: Option<String>,
}

impl ErrorBody {
    /// Reads the body of an answer. The codes are cleaned of what no terminal should be told; the words are as they came.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let Detail { code, message, innererror } = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
        let clean = |code: Option<String>| first_line(&code.unwrap_or_default());
        let inner_code = clean(innererror.and_then(|inner| inner.code));
        Self { code: clean(code), inner_code, message: message.unwrap_or_default() }
    }

    /// The most exact code that there is.
    #[must_use]
    pub fn exact_code(&self) -> &str {
        if self.inner_code.is_empty() { &self.code } else { &self.inner_code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_error_of_azure_says_nothing_and_the_inner_code_comes_first() {
        for body in ["", "<html>", "[]", r#"{"error":"text"}"#, r#"{"error":null}"#, r#"{"error":{"code":null}}"#] {
            assert_eq!(ErrorBody::read(body.as_bytes()), ErrorBody::default(), "{body}");
        }
        let both = ErrorBody::read(br#"{"error":{"code":"A\u001b[31m","message":"m","innererror":{"code":"B"}}}"#);
        assert_eq!((both.code.as_str(), both.exact_code(), both.message.as_str()), ("A[31m", "B", "m"));
        assert_eq!(ErrorBody::read(br#"{"error":{"code":"A"}}"#).exact_code(), "A");
    }
}
