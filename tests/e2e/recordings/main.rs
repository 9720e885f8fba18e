//! Replays recorded Azure traffic against the emulator, and holds its answers to it.

mod arm;
mod body;
mod cassette;
mod emulated;
mod errors;
mod form;
mod headers;
mod json;
mod known;
mod learnt;
mod provoke;
mod replay;
mod seed;
mod table;
mod verdict;

use std::io::Write as _;

use self::known::Known;
use self::table::{NotApplicable, Table};

/// What the recordings hold, or should, that no answer of the emulator can be held to.
const NOT_APPLICABLE: [NotApplicable; 4] = [
    NotApplicable {
        what: "Retry-After, x-ms-request-id and x-ms-client-request-id of 2019",
        reason: "VCR took them out of all its recordings",
    },
    NotApplicable {
        what: "server, x-aspnet-version and x-powered-by of 2019",
        reason: "the service has not sent them since 2025; that the emulator sends none is compared",
    },
    NotApplicable {
        what: "headers of the collected errors",
        reason: "their sources quote bodies; the two headers that they do quote are compared",
    },
    NotApplicable {
        what: "token answers of Entra and of IMDS",
        reason: "recorders drop them, because tokens are credentials: none was published, only Entra's refusals were",
    },
];

/// The table goes to the standard output itself: the test harness would keep it from whoever reads a passing test.
#[tokio::test]
async fn every_recorded_exchange_is_answered_as_azure_answered_it() {
    let mut table = Table { not_applicable: NOT_APPLICABLE.into(), ..Table::default() };
    table.not_applicable.extend(arm::NOT_APPLICABLE);
    for recording in cassette::load().unwrap() {
        table.rows.extend(replay::replay(&recording).await.unwrap());
    }
    table.rows.extend(errors::provoke_all().await.unwrap());
    table.rows.extend(arm::replay_all().await.unwrap());
    std::io::stdout().write_all(format!("\n{table}\n").as_bytes()).unwrap();
    assert_eq!(table.differences().count(), 0, "answers differ from recordings: see the table");
    for known in Known::ALL {
        assert!(table.explains(known) > 0, "{known:?} explains nothing any more: it can go");
    }
}
