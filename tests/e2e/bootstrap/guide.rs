//! The guide's worked example, run as it is written: what it shows is what is printed.

use keyside_tests::agent::keyside;
use keyside_tests::subscription::{SUBSCRIPTION, Subscription};

const GUIDE: &str = include_str!("../../../docs/bootstrap.md");

/// The blocks of the worked example in a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let example = GUIDE.split("\n## ").find(|section| section.starts_with("A worked example")).expect("it is there");
    let parts = example.split("\n```").skip(1).step_by(2);
    parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// A line with every identifier that Azure chose as the guide shows it.
fn as_shown(line: &str) -> String {
    let is_id = |word: &str| word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let shown = |word| if is_id(word) && word != SUBSCRIPTION { "…" } else { word };
    line.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

/// What a command prints that succeeds, with the variable that the guide exports.
fn done(subscription: &Subscription, words: &[&str], input: &str) -> String {
    let run = subscription.run_with(words, &[("API_TOKEN", "token-x91")], input);
    assert_eq!(run.code, Some(0), "{words:?}: {}{}", run.out, run.errors);
    run.out
}

#[test]
fn the_worked_example_prints_what_the_guide_shows() {
    let subscription = Subscription::start("");
    let [file] = blocks("toml")[..] else { panic!("one file") };
    std::fs::write(subscription.folder().join("estate.toml"), format!("{file}\n")).expect("written");
    let [planned, applied] = blocks("text")[..] else { panic!("a plan, and the end of an apply") };
    assert!(!done(&subscription, &["preflight"], "").contains("missing"));
    assert_eq!(done(&subscription, &["plan"], "").trim_end(), planned);
    let apply = done(&subscription, &["apply", "--yes"], "");
    let end = apply.strip_prefix(planned).expect("it shows the same first");
    let shown = end.trim().lines().map(as_shown).collect::<Vec<_>>().join("\n");
    assert_eq!(shown, applied);
    let check =
        keyside(&["check", "--config", &subscription.agent_config().display().to_string()], &subscription.variables());
    assert_eq!(check.status.code(), Some(0), "the next command accepts it: {}", String::from_utf8_lossy(&check.stdout));
    assert!(done(&subscription, &["apply", "--yes"], "").contains("Nothing to do: all 23"), "and says so");
}

#[test]
fn every_command_of_the_guide_is_understood_and_does_what_it_says() {
    let subscription = Subscription::start("");
    std::fs::write(subscription.folder().join("estate.toml"), format!("{}\n", blocks("toml")[0])).expect("written");
    let done = |words: &[&str], input: &str| done(&subscription, words, input);
    done(&["apply", "--yes"], "");
    assert!(done(&["output"], "").contains("key_vault_uri       https://vision-kv-a3a84b.vault.azure.net/"));
    assert!(done(&["secret", "set", "api-token"], "another\n").starts_with("api-token has the new version "));
    assert!(done(&["secret", "rotate", "db-password"], "").starts_with("db-password has the new version "));
    assert_eq!(
        done(&["secret", "retire", "db-password", "--older-than", "30d"], ""),
        "0 superseded versions of db-password disabled\n"
    );
    assert!(done(&["destroy", "--yes"], "").contains("17 to destroy, 0 to keep."));
    assert!(subscription.agent_config().exists(), "which destroy leaves");
    let told: Vec<_> =
        GUIDE.lines().filter_map(|line| line.split_once("keyside-bootstrap ")).map(|(_, rest)| rest).collect();
    for command in ["preflight --config", "plan --config", "apply --config", "destroy --config"] {
        assert!(told.iter().any(|line| line.starts_with(command)), "{command}: {told:#?}");
    }
}
