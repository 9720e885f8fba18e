//! Measures the agent beside servers that do less, prints one table, and writes docs/benchmarks.md with its pictures.
//!
//! `cargo bench` measures everything; `cargo test` runs the same parts for a moment each, which shows that they work and
//! says nothing about speed. The program is also the servers and the users that it measures with: it starts itself again.

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

use floor::Floor;
use keyside_tests::binaries;
use load::Exchange;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use scale::Scale;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    allow_many_connections()?;
    match words[..] {
        ["floor", name, socket, reply] => {
            let floor = Floor::ALL.into_iter().find(|floor| floor.name() == name).expect("a floor of this name");
            floor.serve(Path::new(socket), std::fs::read(reply)?)
        }
        ["flood", socket] => flood::flood(Path::new(socket), &Exchange::read(azure::VALUE)),
        ["--list", ..] => Ok(()),
        _ => measure(&words),
    }
}

fn measure(words: &[&str]) -> io::Result<()> {
    let program = words.iter().skip_while(|word| **word != "--keyside").nth(1);
    let keyside = program.map_or_else(|| binaries::path("keyside"), PathBuf::from);
    let scale = if words.contains(&"--bench") { Scale::FULL } else { Scale::GLIMPSE };
    let start = Instant::now();
    let outcome = suite::run(&keyside, scale)?;
    let seconds = start.elapsed().as_secs();
    let mut out = io::stdout();
    out.write_all(page::table(&outcome).as_bytes())?;
    let missed = outcome.rows.iter().filter(|row| row.is_met() == Some(false)).count();
    writeln!(out, "\n{seconds} s, targets missed: {missed}")?;
    if scale == Scale::FULL {
        page::write(&outcome, seconds)?;
    }
    Ok(())
}

/// Raises the limit of descriptors as far as this process may.
fn allow_many_connections() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
