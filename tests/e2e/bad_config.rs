//! What a wrong configuration gets: every problem at once, with line and remedy, exit 78, at `check` and at start alike.

use std::collections::BTreeMap;

use keyside_tests::agent::keyside;
use tempfile::TempDir;

/// Exit code of a configuration that cannot be used.
/// Source: `EX_CONFIG` in sysexits.h.
const CONFIG_ERROR: i32 = 78;

fn fitting(more: &str) -> String {
    format!(
        "readers = ['uid:0']\n[vault]\nurl = 'https://ml-vault.vault.azure.net'\n[api]\nsocket = 'SHM/run/agent.sock'\n\
         [files]\ndirectory = 'SHM/run/secrets'\n{more}"
    )
}

/// Runs `check` and `agent --once` on the text, and gives what both complained about.
fn complaints(text: &str) -> String {
    let folder = TempDir::new_in("/dev/shm").expect("a folder on tmpfs");
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, text.replace("SHM", &folder.path().display().to_string())).expect("own folder");
    let path = path.display().to_string();
    let check = keyside(&["check", "--config", &path], &BTreeMap::new());
    let start = keyside(&["agent", "--once", "--config", &path], &BTreeMap::new());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, started) = (text(&check.stdout) + &text(&check.stderr), text(&start.stderr));
    assert_eq!(check.status.code(), Some(CONFIG_ERROR), "check: {told}");
    assert_eq!(start.status.code(), Some(CONFIG_ERROR), "start: {started}");
    for line in told.lines().filter(|line| line.contains("line ")) {
        let message = line.split("line ").nth(1).expect("just looked for");
        assert!(started.contains(message), "the start says the same: {message}\n{started}");
    }
    told
}

/// What is wrong, the text, and the words that the complaint must have.
type Mistake = (&'static str, String, &'static [&'static str]);

/// Makes each mistake, and looks for its line and its remedy in what is told.
fn make(mistakes: &[Mistake]) {
    for (what, text, words) in mistakes {
        let told = complaints(text);
        for word in *words {
            assert!(told.contains(word), "{what}: expected '{word}' in:\n{told}");
        }
    }
}

#[test]
fn mistakes_about_the_vault_and_the_file_are_named() {
    let secret = "[[secret]]\nname = 'db-password'\n";
    make(&[
        ("no TOML", fitting("[[secret]\n"), &["line 8"]),
        ("unknown key", fitting("[[secret]]\nname = 'a'\nnmae = 'b'\n"), &["line 10", "nmae"]),
        ("no URL", "readers = ['uid:0']\n[vault]\nurl = 'ml-vault'\n".to_owned() + secret, &["line 3", "https://"]),
        (
            "http URL",
            "readers = ['uid:0']\n[vault]\nurl = 'http://ml-vault.vault.azure.net'\n".to_owned() + secret,
            &["line 3", "https"],
        ),
        (
            "foreign URL",
            "readers = ['uid:0']\n[vault]\nurl = 'https://example.com'\n".to_owned() + secret,
            &["line 3", "vault.azure.net"],
        ),
        ("no duration", fitting("[rotation]\npoll_interval = 'soon'\n[[secret]]\nname = 'a'\n"), &["line 9", "soon"]),
        ("too often", fitting("[rotation]\npoll_interval = '10ms'\n[[secret]]\nname = 'a'\n"), &["line 9", "1s"]),
        (
            "unknown identity",
            fitting("[identity]\nkind = 'magic'\n[[secret]]\nname = 'a'\n"),
            &["line 9", "magic", "workload-identity"],
        ),
    ]);
}

#[test]
fn mistakes_about_secrets_are_named() {
    let secret = "[[secret]]\nname = 'db-password'\n";
    make(&[
        ("no secrets", fitting(""), &["[[secret]]"]),
        ("no Key Vault name", fitting("[[secret]]\nname = 'db_password'\n"), &["line 9", "db_password", "hyphens"]),
        ("same name twice", fitting("[[secret]]\nname = 'a'\n[[secret]]\nname = 'a'\n"), &["line 11", "'a'", "twice"]),
        ("no version", fitting("[[secret]]\nname = 'a'\nversion = 'latest'\n"), &["line 10", "latest"]),
        (
            "no readers",
            "[vault]\nurl = 'https://ml-vault.vault.azure.net'\n".to_owned() + secret,
            &["line 3", "readers"],
        ),
        (
            "missing group",
            fitting("[[secret]]\nname = 'a'\nreaders = ['group:no-such-group-here']\n"),
            &["line 10", "no-such-group-here", "gid:"],
        ),
    ]);
}

#[test]
fn mistakes_about_files_are_named() {
    make(&[
        (
            "same target twice",
            fitting("[[secret]]\nname = 'a'\nfile = 'x'\n[[secret]]\nname = 'b'\nfile = 'x'\n"),
            &["line 11", "'x'"],
        ),
        (
            "target inside a target",
            fitting("[[secret]]\nname = 'a'\nfile = 'x'\n[[secret]]\nname = 'b'\nfile = 'x/y'\n"),
            &["line 11", "x/y"],
        ),
        (
            "path that leaves",
            fitting("[[secret]]\nname = 'a'\nfile = '../../etc/shadow'\n"),
            &["line 10", "../../etc/shadow"],
        ),
        ("absolute path", fitting("[[secret]]\nname = 'a'\nfile = '/etc/x'\n"), &["line 10", "/etc/x"]),
        ("world-readable", fitting("[[secret]]\nname = 'a'\nmode = '0444'\n"), &["line 10", "0444", "world_readable"]),
        ("no octal mode", fitting("[[secret]]\nname = 'a'\nmode = 'rw'\n"), &["line 10", "rw"]),
    ]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = complaints(
        "[vault]\nurl = 'http://x.vault.azure.net'\n[log]\nlevel = 'loud'\n[[secret]]\nname = 'a_b'\n[[secret]]\nnme = 'c'\n",
    );
    for place in ["line 2", "line 4", "line 6", "line 8"] {
        assert!(told.contains(place), "{place} in:\n{told}");
    }
}

#[test]
fn a_target_that_is_no_tmpfs_is_refused_with_the_way_out() {
    let disk = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on disk");
    let text = format!(
        "readers = ['uid:0']\n[vault]\nurl = 'https://ml-vault.vault.azure.net'\n[api]\nsocket = 'SHM/run/agent.sock'\n\
         [files]\ndirectory = '{}'\n[[secret]]\nname = 'a'\n",
        disk.path().display()
    );
    let told = complaints(&text);
    assert!(told.contains("tmpfs") && told.contains("allow_disk"), "{told}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = keyside(&["check", "--config", "/nonexistent/agent.toml"], &BTreeMap::new());
    assert_eq!(output.status.code(), Some(CONFIG_ERROR));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("/nonexistent/agent.toml"), "{told}");
}

#[test]
fn a_fitting_configuration_passes_the_check() {
    let folder = TempDir::new_in("/dev/shm").expect("a folder on tmpfs");
    let path = folder.path().join("agent.toml");
    let text = fitting("[[secret]]\nname = 'a'\n").replace("SHM", &folder.path().display().to_string());
    std::fs::write(&path, text).expect("own folder");
    let output = keyside(&["check", "--config", &path.display().to_string()], &BTreeMap::new());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn wrong_usage_ends_with_64() {
    assert_eq!(keyside(&["agnet"], &BTreeMap::new()).status.code(), Some(64));
}
