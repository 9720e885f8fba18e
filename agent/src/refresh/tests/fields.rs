//! Secrets that are parts of one secret of the vault.

use super::*;
use crate::selection::Selection;

fn field(local: &str, pointer: &str) -> Wanted {
    let selection = Selection::Field(pointer.parse().expect("a pointer"));
    Wanted { vault_name: name("db"), selection, ..Wanted::named(name(local)) }
}

#[tokio::test(start_paused = true)]
async fn fields_of_one_secret_are_fetched_once_and_change_together() {
    let vault = FakeVault::default();
    let wanted = vec![field("user", "/user"), Wanted::named(name("x")), field("password", "/password")];
    let running = Setup { wanted, ..Setup::of(&vault) }.start();
    let seen = || {
        let values = ["user", "password"].map(|local| running.value(local).expect("a value"));
        (running.reader.snapshot().generation, values)
    };
    let [one, two] = [["app", "one"], ["ops", "two"]].map(|values| values.map(str::to_owned));
    vault.set("x", 'a', b"1");
    vault.set("db", 'a', br#"{"user":"app","password":"one"}"#);
    pass(1).await;
    assert_eq!(seen(), (1, one));
    assert_eq!(vault.asked(), 2, "one request for each source");
    vault.rotate("db", 'b', br#"{"user":"ops","password":"two"}"#);
    pass(61).await;
    assert_eq!(seen(), (2, two.clone()));
    vault.rotate("db", 'c', br#"{"user":"new"}"#);
    pass(600).await;
    assert_eq!(seen(), (2, two), "without its password the new user is none");
    for local in ["user", "password"] {
        let failure = running.slot(local).failure.expect("noted, and cleared by no list");
        assert!(failure.message.contains("field '/password' is not there"), "{failure:?}");
    }
    assert_eq!(running.demands.look(Some(name("user"))).await, Ok(Publication::Unchanged));
}
