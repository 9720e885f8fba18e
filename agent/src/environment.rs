//! The environment variables as they were at the start, for whoever needs one: only main reads the process's own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// A snapshot of environment variables. Its values may be secrets, so it shows only names.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The value of `name`. An empty one counts as absent, as it does for the Azure SDKs.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    /// Takes what is Unicode; no variable that Keyside reads can be anything else.
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(variables.into_iter().filter_map(text).collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let environment = Environment::from([("A", "1"), ("B", "")]);
        assert_eq!(environment.get("A"), Some("1"));
        assert_eq!(environment.get("B"), None);
        assert_eq!(environment.get("C"), None);
    }

    #[test]
    fn formatting_shows_names_only() {
        let environment = Environment::from([("AZURE_CLIENT_SECRET", "hunter2")]);
        assert_eq!(format!("{environment:?}"), r#"{"AZURE_CLIENT_SECRET"}"#);
    }
}
