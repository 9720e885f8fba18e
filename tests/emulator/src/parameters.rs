//! The parameters of a request, from its query or its form, with names and values decoded.

use axum::http::{HeaderMap, Uri, header};
use url::form_urlencoded;

/// Names and values in the order of the request. Some clients encode the names too.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of_query(uri: &Uri) -> Self {
        Self::decode(uri.query().unwrap_or_default().as_bytes())
    }

    /// Reads a form; a body of another type has no parameters.
    pub(crate) fn of_form(headers: &HeaderMap, body: &[u8]) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = content_type.is_some_and(|text| text.starts_with("application/x-www-form-urlencoded"));
        Self::decode(if is_form { body } else { &[] })
    }

    fn decode(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    pub(crate) fn add(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }

    /// The first value of `name`; an empty one counts as absent.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}
