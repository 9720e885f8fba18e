//! What docs/security.md says to be shown by tests, held to the tests that there are.

use std::path::Path;

const DOCUMENT: &str = include_str!("../../docs/security.md");

/// The rows of the table of promises, each without its first column.
fn rows() -> Vec<(&'static str, &'static str)> {
    let section = DOCUMENT.split("\n## ").find(|section| section.starts_with("What is promised")).expect("a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    rows.skip(1).collect()
}

/// The files that a text names between backquotes.
fn files(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|code| code.contains('/') && Path::new(code).extension().is_some())
}

#[test]
fn every_promise_names_a_test_and_every_test_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let promises: Vec<_> = rows().into_iter().filter(|(_, shown_by)| !shown_by.trim().is_empty()).collect();
    assert!(promises.len() > 20, "the table was found: {promises:?}");
    for (promise, shown_by) in promises {
        let named: Vec<_> = files(shown_by).collect();
        assert!(!named.is_empty(), "nothing shows that {promise}");
        for file in named {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let is_test = file.starts_with("tests/") || text.contains("#[test]") || text.contains("#[tokio::test]");
            let is_property = file.ends_with("properties.rs") || text.contains("fn main()");
            assert!(is_test || is_property, "{file} tests nothing");
        }
    }
}

#[test]
fn every_fuzz_target_is_described() {
    let section = DOCUMENT.split("\n## ").find(|section| section.starts_with("Inputs")).expect("a section");
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for target in std::fs::read_dir(seeds).expect("the seeds") {
        let name = target.expect("an entry").file_name().into_string().expect("text");
        assert!(section.contains(&format!("\n| `{name}` |")), "{name} is not described");
    }
}
