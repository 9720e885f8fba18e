//! What a file says and nothing would use: refused, because whoever wrote it believes that it does something.

use std::collections::BTreeMap;
use std::ops::Range;

use keyside::config::document::{Document, Parsed};
use toml::Spanned;

use super::check::Check;
use crate::id::ArmId;

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
    /// Notes those of `keys` that are given beside the id of somebody else's resource, with which nothing is done.
    pub(super) fn only_read(&mut self, table: &str, id: Option<&Spanned<Parsed<ArmId>>>, keys: &[(&str, bool)]) {
        let given: Vec<_> = keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        if let Some(id) = id.filter(|_| !given.is_empty()) {
            let given = given.join(" and ");
            let why = "what is named by id is somebody else's and only read";
            self.document
                .report(&id.span(), format!("nothing uses [{table}] {given}: {why}, so remove {given}, or id"));
        }
    }

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

    fn problems(more: &str) -> Vec<String> {
        let base = "subscription = '00000000-0000-4000-8000-000000000001'\n\
                    tenant = '00000000-0000-4000-8000-000000000002'\nlocation = 'westeurope'\nprefix = 'ml'\n[vault]\n";
        let found = Config::parse(&format!("{base}{more}\n"), 1000).map(|_| Vec::new());
        found.unwrap_or_else(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_only_read_takes_no_settings() {
        let id = "id = '/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/";
        let rows = [
            (format!("{id}Microsoft.KeyVault/vaults/kv1'"), ""),
            (format!("{id}Microsoft.KeyVault/vaults/kv1'\nauthorization = 'access-policies'"), ""),
            (
                format!("sku = 'premium'\n{id}Microsoft.KeyVault/vaults/kv1'\nnetwork.bypass = 'none'"),
                "line 7: nothing uses [vault] sku and network: what is named by id",
            ),
            (
                format!(
                    "[diagnostics]\n[log_analytics]\nretention_days = 60\n{id}Microsoft.OperationalInsights/workspaces/w'"
                ),
                "line 9: nothing uses [log_analytics] retention_days",
            ),
            (
                format!("[workspace]\n[storage]\nsku = 'grs'\n{id}Microsoft.Storage/storageAccounts/st1'"),
                "line 9: nothing uses [storage] sku",
            ),
        ];
        for (text, expected) in rows {
            let found = problems(&text);
            assert_eq!(found.is_empty(), expected.is_empty(), "{text}: {found:#?}");
            assert!(found.iter().all(|line| line.starts_with(expected)), "{text}: {found:#?}");
        }
    }

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
            let found = problems(text);
            assert_eq!(found.is_empty(), expected.is_empty(), "{text}: {found:#?}");
            assert!(found.iter().all(|line| line.starts_with(expected)), "{text}: {found:#?}");
        }
    }
}
