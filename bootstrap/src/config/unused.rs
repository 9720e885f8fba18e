//! What a file says and nothing would use: refused, because whoever wrote it believes that it does something.

use std::collections::BTreeMap;
use std::ops::Range;

use keyside::config::document::Document;

use super::check::Check;

/// Every table that others ask for.
const ASKED_FOR: [&str; 7] =
    ["workspace", "storage", "application_insights", "log_analytics", "agent_identity", "diagnostics", "agent"];

/// Tables that only others use: one of these has to be there.
const USERS: [(&str, &[&str]); 3] = [
    ("storage", &["workspace"]),
    ("application_insights", &["workspace"]),
    ("log_analytics", &["workspace", "diagnostics"]),
];

/// Where tables are in the file, also those with something wrong in them.
pub(super) struct Places(BTreeMap<&'static str, Range<usize>>);

impl Places {
    /// Where the tables of `document` are, none of which has been taken out yet.
    pub(super) fn of(document: &Document<'_>) -> Self {
        Self(ASKED_FOR.into_iter().filter_map(|name| Some((name, document.place(name)?))).collect())
    }

    /// Whether the file has the table `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether a key of the table `name` is there with a value that does not fit.
    pub(super) fn is_left_out(&self, document: &Document<'_>, name: &str, key: &str) -> bool {
        self.0.get(name).is_some_and(|place| document.is_left_out(place, key))
    }
}

impl Check<'_> {
    /// Notes every table that nothing uses.
    pub(super) fn unused(&mut self, places: &Places) {
        for (table, users) in USERS {
            if let Some(place) = places.0.get(table).filter(|_| !users.iter().any(|user| places.has(user))) {
                let users = users.iter().map(|user| format!("[{user}]")).collect::<Vec<_>>().join(" or ");
                self.document
                    .report(place, format!("nothing uses [{table}]: add the table {users}, or remove this one"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_nothing_would_use_is_refused_with_its_remedy() {
        let rows = [
            ("[storage]\nname = 'mlst1'", "line 6: nothing uses [storage]: add the table [workspace]"),
            ("[application_insights]", "line 6: nothing uses [application_insights]: add the table [workspace]"),
            ("[log_analytics]", "line 6: nothing uses [log_analytics]: add the table [workspace] or [diagnostics]"),
            ("[log_analytics]\n[diagnostics]", ""),
            ("[workspace]\n[storage]\n[application_insights]\n[log_analytics]", ""),
            ("[workspace]\ncolour = 'red'\n[storage]", "line 7: [workspace] unknown key `colour`"),
        ];
        for (text, expected) in rows {
            let base = "subscription = '00000000-0000-4000-8000-000000000001'\n\
                        tenant = '00000000-0000-4000-8000-000000000002'\nlocation = 'westeurope'\nprefix = 'ml'\n[vault]\n";
            let found = Config::parse(&format!("{base}{text}\n"), 1000).map(|_| Vec::new());
            let found = found.unwrap_or_else(|problems| problems.iter().map(ToString::to_string).collect());
            assert_eq!(found.is_empty(), expected.is_empty(), "{text}: {found:#?}");
            assert!(found.iter().all(|line| line.starts_with(expected)), "{text}: {found:#?}");
        }
    }
}
