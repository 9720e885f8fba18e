//! The description that tests begin with.

use crate::config::Config;

/// The smallest estate with `more` after it, which begins with keys of its vault.
pub(crate) fn config(more: &str) -> Config {
    let text = format!(
        "subscription = '00000000-0000-4000-8000-000000000001'\ntenant = '00000000-0000-4000-8000-000000000002'\n\
         location = 'westeurope'\nprefix = 'ml'\n[vault]\nname = 'kv1'\n{more}\n"
    );
    Config::parse(&text, 1000).expect("it fits")
}
