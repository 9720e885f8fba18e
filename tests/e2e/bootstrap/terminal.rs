//! What somebody at a terminal sees while work is under way.

use keyside_tests::subscription::Subscription;

fn applied_on(term: &str) -> String {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-seen'");
    subscription.run_on_terminal("apply --yes", term)
}

#[test]
fn whatever_is_under_way_turns_until_its_line_is_erased_for_how_it_ended() {
    let seen = applied_on("xterm");
    let (before, _) = seen
        .split_once("\r\u{1b}[2Kcreated   key vault ml-kv-seen\r\n")
        .unwrap_or_else(|| panic!("it has ended in {seen:?}"));
    assert!(before.contains(" 00:00:00 key vault ml-kv-seen "), "{seen:?}");
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_shows_just_what_has_ended() {
    let seen = applied_on("dumb");
    assert!(seen.contains("\r\ncreated   key vault ml-kv-seen"), "{seen:?}");
    assert!(!seen.contains('\u{1b}') && !seen.contains("00:00:0"), "{seen:?}");
}

#[test]
fn a_value_is_not_typed_at_a_terminal_which_would_show_it() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-seen'\n[[secret]]\nname = 'db'\nfrom_stdin = true");
    // The plan of a run whose input is a terminal says nothing about the input of the apply.
    assert!(subscription.run_on_terminal("plan", "dumb").contains("+ create  secret"), "it is planned");
    let seen = subscription.run_on_terminal("apply --yes --config estate.toml || true", "dumb");
    assert!(seen.contains("standard input is a terminal"), "{seen:?}");
    assert_eq!(subscription.writes(), Vec::<String>::new());
}
