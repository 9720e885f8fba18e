//! How much callers may take: numbers and lengths of time with their bounds, and what must fit.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;

use toml::Spanned;

use super::document::Document;
use super::rotation::Length;
use super::shape::LimitsTable;
use crate::serve::Limits;

/// How long a request or a look may take, in seconds: a machine under load takes one, and a replaced value may lie that long
/// in an answer that nobody takes.
pub(super) type RequestTime = Length<1, 3_600>;

/// How often one user may ask for a look, in seconds.
pub(super) type RefreshInterval = Length<1, 3_600>;

/// Most connections: each takes two descriptors and some 20 KiB of memory.
const CONNECTIONS_MAX: usize = 65_536;

/// The settings of the table `[limits]`.
pub(super) fn limits(document: &mut Document<'_>, table: &LimitsTable) -> Limits {
    let default = Limits::default();
    let number = |key: &Option<Spanned<NonZeroUsize>>, default: usize| {
        key.as_ref().map_or((default, None), |key| (key.get_ref().get(), Some(key.span())))
    };
    let (connections, all_at) = number(&table.connections, default.connections);
    // What is not said follows what is: a quarter of all, and three quarters of that.
    let each = if all_at.is_some() { connections.div_ceil(4) } else { default.connections_per_user };
    let (each, each_at) = number(&table.connections_per_user, each);
    let waits = (each - each.div_ceil(4)).max(1);
    let (waits, waits_at) = number(&table.waits_per_user, waits);
    let mut at_most = |(key, value): (&str, usize), span: Option<Range<usize>>, (what, most): (&str, usize)| {
        if let Some(span) = span.filter(|_| value > most) {
            document.report(&span, format!("[limits] {key} must not be more than {what}, {most}"));
        }
    };
    at_most(("connections", connections), all_at, ("an agent can serve", CONNECTIONS_MAX));
    at_most(("connections_per_user", each), each_at, ("connections", connections));
    at_most(("waits_per_user", waits), waits_at, ("connections_per_user", each));
    Limits {
        connections,
        connections_per_user: each,
        waits_per_user: waits,
        request_time: table.request_time.as_ref().map_or(default.request_time, |length| length.0.0),
        refresh_time: table.refresh_time.as_ref().map_or(default.refresh_time, |length| length.0.0),
        refresh_interval: table.refresh_interval.as_ref().map_or(default.refresh_interval, |length| length.0.0),
        refresh_burst: table.refresh_burst.map_or(default.refresh_burst, NonZeroU32::get),
        ..default
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::parse;
    use crate::credentials::CALLERS_MAX;

    fn limits_of(keys: &str) -> Result<Limits, Vec<String>> {
        let text = "readers = ['uid:5']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n[[secret]]\nname = 'db'\n";
        parse(&format!("{text}[limits]\n{keys}\n")).map(|config| config.serve.limits)
    }

    #[test]
    fn what_is_not_said_follows_what_is() {
        let rows = [
            ("", (512, 128, 96)),
            ("connections = 2048", (2048, 512, 384)),
            ("connections_per_user = 400", (512, 400, 300)),
            ("connections = 1", (1, 1, 1)),
            ("connections = 2000\nconnections_per_user = 2000\nwaits_per_user = 1000", (2000, 2000, 1000)),
        ];
        for (keys, expected) in rows {
            let limits = limits_of(keys).expect("it fits");
            let numbers = (limits.connections, limits.connections_per_user, limits.waits_per_user);
            assert_eq!(numbers, expected, "{keys}");
        }
        assert_eq!(limits_of("").expect("it fits"), Limits::default());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let rows = [
            ("connections = 0", "line 7: [limits] connections: invalid value"),
            ("connections = 100000", "line 7: [limits] connections must not be more than an agent can serve, 65536"),
            (
                "connections_per_user = 600",
                "line 7: [limits] connections_per_user must not be more than connections, 512",
            ),
            ("waits_per_user = 129", "line 7: [limits] waits_per_user must not be more than connections_per_user, 128"),
            ("request_time = '0s'", "line 7: [limits] request_time: 0s is out of range: use from 1s to 1h"),
            ("refresh_burst = 0", "line 7: [limits] refresh_burst: invalid value"),
            ("waits = 1", "line 7: [limits] unknown key `waits`"),
        ];
        for (keys, start) in rows {
            let told = limits_of(keys).expect_err(keys);
            assert!(told.len() == 1 && told[0].starts_with(start), "{keys}: {told:?}");
        }
    }

    #[test]
    fn units_that_ask_for_credentials_are_counted_where_they_can() {
        assert_eq!(limits_of("[credentials]").expect("it fits").callers_elsewhere, CALLERS_MAX);
        assert_eq!(limits_of("").expect("it fits").callers_elsewhere, 0);
    }
}
