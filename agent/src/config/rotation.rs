//! How fresh secrets are kept and which vaults stand in for the first: lengths of time with their bounds, and what must fit.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::ROTATION;
use super::document::Document;
use super::shape::{RotationTable, VaultTable};
use crate::azure::cloud::VaultUrl;
use crate::refresh;
use crate::schedule::Pace;

/// Shortest interval between two looks, in seconds.
/// One look costs a request at least, and Key Vault throttles a whole vault at 4,000 in ten seconds: below a second a few
/// hundred agents would spend that on nothing.
const INTERVAL_MIN: u64 = 1;

/// Shortest time that a value may be served without the vault, in seconds: below it a lost packet would take values away.
const MAX_STALE_MIN: u64 = 10;

/// A day, in seconds: a secret that is looked at less often has usually stopped working when its successor is seen, and
/// denials that go on longer are no accident.
const DAY: u64 = 86_400;

/// A year, in seconds. Who wants more wants it to be unlimited.
const YEAR: u64 = 365 * DAY;

/// A time between two looks, such as `2m`.
pub(super) type PollInterval = Length<INTERVAL_MIN, DAY>;

/// A time between two fetches of a secret that lists confirm, such as `1h`.
pub(super) type FullRefresh = Length<INTERVAL_MIN, DAY>;

/// How long denials must go on until they count, such as `15m`.
pub(super) type RevokeAfter = Length<1, DAY>;

/// How long a unit waits for a credential, such as `1m`. Who wants more than an hour wants the unit to start again.
pub(super) type Wait = Length<1, 3_600>;

/// A length of time within bounds in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length<const SHORTEST: u64, const LONGEST: u64>(pub(super) Duration);

/// Says why a text is no length of time, or none that fits.
#[derive(Debug, Error)]
pub(super) enum InvalidLength {
    #[error("'{0}' is no length of time: write it as \"30s\" or \"2m\"")]
    Form(String),
    #[error("{text} is out of range: use from {shortest} to {longest}")]
    Range { text: String, shortest: String, longest: String },
}

impl<const SHORTEST: u64, const LONGEST: u64> FromStr for Length<SHORTEST, LONGEST> {
    type Err = InvalidLength;

    fn from_str(text: &str) -> Result<Self, InvalidLength> {
        let length = humantime::parse_duration(text).map_err(|_| InvalidLength::Form(text.to_owned()))?;
        if (Duration::from_secs(SHORTEST)..=Duration::from_secs(LONGEST)).contains(&length) {
            return Ok(Self(length));
        }
        let (shortest, longest) = (shown(SHORTEST), shown(LONGEST));
        Err(InvalidLength::Range { text: text.to_owned(), shortest, longest })
    }
}

fn shown(seconds: u64) -> String {
    match seconds {
        YEAR.. => format!("{}d", seconds / DAY),
        3_600.. => format!("{}h", seconds / 3_600),
        _ => format!("{seconds}s"),
    }
}

/// How long a value is served without the vault, such as `24h`; none for `unlimited`.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxStale(pub(super) Option<Duration>);

impl FromStr for MaxStale {
    type Err = InvalidLength;

    fn from_str(text: &str) -> Result<Self, InvalidLength> {
        match text {
            "unlimited" => Ok(Self(None)),
            length => length.parse().map(|Length::<MAX_STALE_MIN, YEAR>(length)| Self(Some(length))),
        }
    }
}

/// The settings of the table `[rotation]`.
pub(super) fn rotation_settings(document: &mut Document<'_>, table: &RotationTable) -> refresh::Settings {
    let interval = table.poll_interval.as_ref().map_or(ROTATION.pace.interval, |interval| interval.0.0);
    // A look a day is a full refresh already.
    let full_refresh = ROTATION.pace.full_refresh.max(interval);
    let full_refresh = table.full_refresh.as_ref().map_or(full_refresh, |key| {
        let length = key.get_ref().0.0;
        if length < interval {
            let message =
                "full_refresh must not be shorter than poll_interval, which is how often anything is looked at";
            document.report(&key.span(), format!("[rotation] {message}"));
        }
        length
    });
    let max_stale = table.max_stale.as_ref().map_or(ROTATION.max_stale, |key| {
        let length = key.get_ref().0.0;
        if length.is_some_and(|length| length < 2 * interval) {
            let message =
                "max_stale must be twice poll_interval at least: a value grows as old as that between two looks";
            document.report(&key.span(), format!("[rotation] {message}"));
        }
        length
    });
    refresh::Settings {
        pace: Pace { interval, full_refresh },
        revoke_after: table.revoke_after.as_ref().map_or(ROTATION.revoke_after, |key| key.0.0),
        max_stale: max_stale.map(|length| length.max(2 * interval)),
    }
}

/// The vaults that stand in for the first.
pub(super) fn fallback(document: &mut Document<'_>, table: VaultTable) -> Vec<VaultUrl> {
    let mut known = vec![table.url.0];
    for key in table.fallback {
        let (span, url) = (key.span(), key.into_inner().0);
        if known.contains(&url) {
            document.report(&span, format!("[vault] fallback: {url} is named twice: it cannot stand in for itself"));
        } else if known[0].cloud() != url.cloud() {
            let message = "is in another cloud, whose vaults do not accept the identity of this one";
            document.report(&span, format!("[vault] fallback: {url} {message}"));
        }
        known.push(url);
    }
    known.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::parse;
    use crate::schedule::{CONFIRM_AFTER, respite};

    const SMALLEST: &str =
        "readers = ['uid:5']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n[[secret]]\nname = 'db'\n";

    fn range<T: FromStr<Err = InvalidLength>>(text: &str) -> String {
        text.parse::<T>().map_or_else(|error| error.to_string(), |_| "fits".to_owned())
    }

    #[test]
    fn lengths_have_bounds_which_are_told() {
        let outside = |text: &str, bounds: &str| format!("{text} is out of range: use from {bounds}");
        let rows = [
            (range::<PollInterval>("1s"), "fits".to_owned()),
            (range::<PollInterval>("24h"), "fits".to_owned()),
            (range::<PollInterval>("10ms"), outside("10ms", "1s to 24h")),
            (range::<PollInterval>("25h"), outside("25h", "1s to 24h")),
            (range::<RevokeAfter>("0s"), outside("0s", "1s to 24h")),
            (range::<FullRefresh>("2d"), outside("2d", "1s to 24h")),
            (range::<MaxStale>("unlimited"), "fits".to_owned()),
            (range::<MaxStale>("365d"), "fits".to_owned()),
            (range::<MaxStale>("9s"), outside("9s", "10s to 365d")),
            (range::<MaxStale>("never"), "'never' is no length of time: write it as \"30s\" or \"2m\"".to_owned()),
        ];
        for (found, expected) in rows {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_times_that_operators_are_told_follow_from_the_defaults() {
        let Pace { interval, full_refresh } = ROTATION.pace;
        let look = ROTATION.pace.wait(1.0);
        let rows = [
            ("a secret has a new version", look),
            ("a secret changes and no list shows it", full_refresh),
            ("a secret is disabled or deleted", look + CONFIRM_AFTER),
            ("the agent's role is taken away", look + ROTATION.revoke_after),
            ("the same, while it may still list the vault", full_refresh + ROTATION.revoke_after),
            ("a vault answers again after an outage", interval.max(look)),
            ("a vault that asked to wait answers again", respite(Some(Duration::MAX)) + look),
            ("a vault stays out of reach", ROTATION.max_stale.expect("a limit")),
        ];
        let manual = include_str!("../../../docs/operations.md");
        for (event, time) in rows {
            let row = format!("| {event} | {} |", humantime::format_duration(time));
            assert!(manual.contains(&row), "no {row}");
        }
    }

    #[test]
    fn the_table_of_rotation_has_bounds_between_its_keys() {
        let vault = |more: &str| SMALLEST.replace("[[secret]]", &format!("{more}[[secret]]"));
        let rows = [
            ("[rotation]\npoll_interval = '1m'\nfull_refresh = '59s'\n", "full_refresh must not be shorter"),
            ("[rotation]\npoll_interval = '1m'\nmax_stale = '119s'\n", "max_stale must be twice"),
            ("fallback = ['https://my-vault.vault.azure.net']\n", "named twice"),
            ("fallback = ['https://my-vault.vault.azure.cn']\n", "in another cloud"),
        ];
        for (more, expected) in rows {
            let told = parse(&vault(more)).expect_err(expected);
            assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
        }
        let daily = parse(&vault("[rotation]\npoll_interval = '24h'\nmax_stale = 'unlimited'\n")).expect("it fits");
        assert_eq!((daily.rotation.pace.full_refresh, daily.rotation.max_stale), (Duration::from_hours(24), None));
        let daily = parse(&vault("[rotation]\npoll_interval = '24h'\n")).expect("it fits");
        assert_eq!(daily.rotation.max_stale, Some(Duration::from_hours(48)), "the default grows with the interval");
    }
}
