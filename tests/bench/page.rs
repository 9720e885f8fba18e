//! The page of the documents that holds the table, made from a template, and its pictures.

use std::fs;
use std::io;
use std::path::Path;

use crate::floor::Floor;
use crate::picture;
use crate::suite::Outcome;
use crate::table;

const TEMPLATE: &str = include_str!("benchmarks.md");

/// The table of a run.
pub(crate) fn table(outcome: &Outcome) -> String {
    table::markdown(&outcome.rows, &Floor::ALL.map(Floor::name))
}

/// The page and its pictures, by their paths among the documents.
///
/// # Errors
/// When the kernel does not say what machine this is.
pub(crate) fn files(outcome: &Outcome, seconds: u64) -> io::Result<[(&'static str, String); 3]> {
    Ok([
        ("benchmarks.md", page(outcome, seconds)?),
        ("pictures/bench-reads.svg", picture::draw_reads(&outcome.reads)),
        ("pictures/bench-memory.svg", picture::draw_memory(&outcome.footprints)),
    ])
}

/// Writes them.
///
/// # Errors
/// Whatever the operating system answers.
pub(crate) fn write(files: &[(&str, String)]) -> io::Result<()> {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::create_dir_all(documents.join("pictures"))?;
    files.iter().try_for_each(|(path, text)| fs::write(documents.join(path), text))
}

fn page(outcome: &Outcome, seconds: u64) -> io::Result<String> {
    let fields = [
        ("{machine}", machine()?),
        ("{load}", fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned()),
        ("{seconds}", seconds.to_string()),
        ("{table}", table(outcome)),
    ];
    let page = fields.iter().fold(TEMPLATE.to_owned(), |page, (field, text)| page.replace(field, text));
    assert!(!page.contains(['{', '}']), "every field of the template is known");
    Ok(page)
}

/// The processor, how many of them, and the kernel.
fn machine() -> io::Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let mut models = processors.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = models.next().map_or("unknown processor", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{} × {model}, Linux {}", models.count() + 1, kernel.trim()))
}
