//! Readers by user and by group, the supplementary groups of the caller included.

use keyside_tests::estate::Estate;
use keyside_tests::user::User;

use super::{ML, STRANGER, TRAINER, may_be_others, status};

#[test]
fn readers_are_known_by_user_and_by_any_of_their_groups() {
    if !may_be_others() {
        return;
    }
    let estate = Estate::start(&[("db", "one")]);
    let secret = |name: &str, reader: &str| {
        format!("[[secret]]\nname = '{name}'\nvault_name = 'db'\nfile = false\nreaders = ['{reader}']\n")
    };
    let by_uid = secret("by-uid", &format!("uid:{TRAINER}"));
    let by_gid = secret("by-gid", &format!("gid:{ML}"));
    // Names that every machine has.
    let named = secret("by-user", "user:root") + &secret("by-group", "group:root");
    let agent = estate.agent(&(by_uid + &by_gid + &named));
    let many: Vec<u32> = (63_000..63_300).chain([ML]).collect();
    let user = |uid, gid, groups| User { uid, gid, groups };
    let rows = [
        ("its user", user(TRAINER, TRAINER, &[][..]), "by-uid", 200),
        ("another user in that group", user(STRANGER, TRAINER, &[]), "by-uid", 404),
        ("its primary group", user(STRANGER, ML, &[]), "by-gid", 200),
        ("its supplementary group", user(STRANGER, STRANGER, &[7, ML]), "by-gid", 200),
        ("the last of 301 groups", user(STRANGER, STRANGER, &many), "by-gid", 200),
        ("a user of that number", user(ML, STRANGER, &[]), "by-gid", 404),
        ("neither", user(STRANGER, STRANGER, &[7]), "by-gid", 404),
        ("root", user(0, 0, &[]), "by-gid", 404),
        ("root, by name", user(0, STRANGER, &[]), "by-user", 200),
        ("root's group, by name", user(STRANGER, STRANGER, &[0]), "by-group", 200),
        ("neither, by name", user(STRANGER, STRANGER, &[ML]), "by-group", 404),
    ];
    for (row, user, name, expected) in rows {
        assert_eq!(status(user, agent.socket(), name), expected, "{row}");
    }
}

#[test]
fn what_held_when_the_caller_connected_holds_for_the_connection() {
    if !may_be_others() {
        return;
    }
    let estate = Estate::start(&[("db", "one")]);
    let agent = estate.agent(&format!("[[secret]]\nname = 'db'\nfile = false\nreaders = ['gid:{ML}']\n"));
    let gained = User { uid: 0, gid: 0, groups: &[] }.act(|| {
        let mut early = keyside_tests::http::Connection::open(agent.socket());
        User { uid: STRANGER, gid: ML, groups: &[] }.become_for_good();
        [
            early.get("/v1/secrets/db/value").status,
            keyside_tests::http::get(agent.socket(), "/v1/secrets/db/value").status,
        ]
    });
    assert_eq!(gained, [404, 200], "a right that came later needs another connection");
    let kept = User { uid: 0, gid: 0, groups: &[ML] }.act(|| {
        let mut early = keyside_tests::http::Connection::open(agent.socket());
        User::alone(STRANGER).become_for_good();
        [
            early.get("/v1/secrets/db/value").status,
            keyside_tests::http::get(agent.socket(), "/v1/secrets/db/value").status,
        ]
    });
    assert_eq!(kept, [200, 404], "one that was given up is gone with the connection");
}
