//! Measures the agent beside servers that do less, prints one table, and writes docs/benchmarks.md with its pictures.
//!
//! `cargo bench` measures everything; `cargo test` runs the same parts for a moment each, which shows that they work and
//! says nothing about speed. The program is also the user who floods: it starts itself again.

mod azure;
mod flood;
mod floor;
mod load;
mod page;
mod picture;
mod process;
mod read_rows;
mod reads;
mod scale;
mod start;
mod suite;
mod swap;
mod table;
mod waiting;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use keyside_tests::binaries;
use load::Exchange;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use scale::Scale;
use suite::Programs;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    allow_many_connections()?;
    match words[..] {
        ["flood", socket] => flood::flood(Path::new(socket), &Exchange::read(azure::VALUE)),
        ["--list", ..] => Ok(()),
        _ => measure(&words),
    }
}

fn measure(words: &[&str]) -> io::Result<()> {
    let named = |word: &str, name| {
        let path = words.iter().skip_while(|other| **other != word).nth(1);
        path.map_or_else(|| binaries::path(name), PathBuf::from)
    };
    let programs = Programs { keyside: named("--keyside", "keyside"), floor: named("--floor", "keyside-floor") };
    let scale = if words.contains(&"--bench") { Scale::FULL } else { Scale::GLIMPSE };
    let start = Instant::now();
    let outcome = suite::run(&programs, scale)?;
    let seconds = start.elapsed().as_secs();
    let mut out = io::stdout();
    out.write_all(page::table(&outcome).as_bytes())?;
    let missed = outcome.rows.iter().filter(|row| row.is_met() == Some(false)).count();
    writeln!(out, "\n{seconds} s, targets missed: {missed}")?;
    // They are made in every run, so that the template is known to be complete.
    let files = page::files(&outcome, seconds)?;
    if scale == Scale::FULL {
        page::write(&files)?;
    }
    Ok(())
}

/// Raises the limit of descriptors as far as this process may.
fn allow_many_connections() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
