//! Replays recorded Azure traffic against the emulator, and holds its answers to it.

#[path = "recordings/body.rs"]
mod body;
#[path = "recordings/cassette.rs"]
mod cassette;
#[path = "recordings/emulated.rs"]
mod emulated;
#[path = "recordings/errors.rs"]
mod errors;
#[path = "recordings/form.rs"]
mod form;
#[path = "recordings/headers.rs"]
mod headers;
#[path = "recordings/json.rs"]
mod json;
#[path = "recordings/known.rs"]
mod known;
#[path = "recordings/learnt.rs"]
mod learnt;
#[path = "recordings/provoke.rs"]
mod provoke;
#[path = "recordings/replay.rs"]
mod replay;
#[path = "recordings/seed.rs"]
mod seed;
#[path = "recordings/table.rs"]
mod table;
#[path = "recordings/verdict.rs"]
mod verdict;

use std::io::Write as _;

use self::known::Known;
use self::table::Table;

/// The table goes to the standard output itself: the test harness would keep it from whoever reads a passing test.
#[tokio::test]
async fn every_recorded_exchange_is_answered_as_azure_answered_it() {
    let mut table = Table::default();
    for recording in cassette::load().unwrap() {
        table.rows.extend(replay::replay(&recording).await.unwrap());
    }
    table.rows.extend(errors::provoke_all().await.unwrap());
    std::io::stdout().write_all(format!("\n{table}\n").as_bytes()).unwrap();
    assert_eq!(table.differences().count(), 0, "answers differ from recordings: see the table");
    for known in Known::ALL {
        assert!(table.explains(known) > 0, "{known:?} explains nothing any more: it can go");
    }
}
