//! What programs read with `--output json` when a command does not do what it was asked to: one document, whatever happens.

use keyside_tests::subscription::{Run, SUBSCRIPTION, Subscription};
use serde_json::Value;

use crate::life::whole;

/// The whole of standard output is one document, and it has an error.
fn document(run: &Run) -> Value {
    let json: Value =
        serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}{}", run.out, run.errors));
    for member in ["code", "message", "next"] {
        assert!(json["error"][member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {json:#}");
    }
    json
}

fn fails(subscription: &Subscription, words: &[&str], code: i32) -> Value {
    let words: Vec<_> = words.iter().copied().chain(["--output", "json", "--patience", "1s"]).collect();
    let run = subscription.run(&words);
    assert_eq!(run.code, Some(code), "{words:?}: {}{}", run.out, run.errors);
    document(&run)
}

/// Every command, as far as it needs no more words.
const COMMANDS: [&[&str]; 8] = [
    &["plan"],
    &["apply", "--yes"],
    &["destroy", "--yes"],
    &["output"],
    &["preflight"],
    &["secret", "set", "db-password", "--from-env", "PATH"],
    &["secret", "rotate", "db-password"],
    &["secret", "retire", "db-password", "--older-than", "30d"],
];

#[test]
fn a_wrong_file_is_told_by_every_command_line_by_line() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'a--b'\nsku = 'gold'");
    for words in COMMANDS {
        let error = fails(&subscription, words, 78)["error"].take();
        assert_eq!((&error["code"], &error["file"]), (&"config-wrong".into(), &"estate.toml".into()), "{error:#}");
        let lines: Vec<_> = error["problems"].as_array().expect("problems").iter().map(|one| &one["line"]).collect();
        assert_eq!(lines, [6, 7], "{error:#}");
    }
    std::fs::remove_file(subscription.folder().join("estate.toml")).expect("it was there");
    assert_eq!(fails(&subscription, &["plan"], 78)["error"]["code"], "config-unreadable");
}

#[test]
fn no_sign_in_and_no_connection_are_told_by_every_command() {
    let subscription = whole("");
    let fault = ["fault", "add", "--host", "management.azure.com", "--cut", "0"];
    for words in COMMANDS {
        let all: Vec<_> = words.iter().copied().chain(["--output", "json"]).collect();
        let run = subscription.run_with(&all, &[("AZURE_CLIENT_SECRET", "wrong")], "");
        assert_eq!(run.code, Some(69), "{words:?}: {}", run.errors);
        let error = document(&run)["error"].take();
        assert_eq!(error["code"], "no-sign-in", "{error:#}");
        assert_eq!(error["tried"][0]["source"], "client secret", "{error:#}");
    }
    subscription.emulator.run(&fault);
    for words in &COMMANDS[..5] {
        let error = fails(&subscription, words, 69)["error"].take();
        assert_eq!(error["code"], "unreachable", "{error:#}");
        assert!(error["resource"]["kind"].is_string() && error["operation"].is_string(), "{error:#}");
    }
}

#[test]
fn what_azure_refuses_is_told_with_the_resource_and_the_number_of_the_request() {
    let subscription =
        Subscription::start("[[vaults]]\nname = 'taken'\nlocation = 'westeurope'\nresource_group = 'elsewhere'\n");
    subscription.describe("name = 'taken'");
    let error = fails(&subscription, &["apply", "--yes"], 70)["error"].take();
    assert_eq!(error["code"], "azure-refused", "{error:#}");
    assert_eq!(error["resource"], serde_json::json!({"kind": "key vault", "name": "taken"}));
    assert_eq!(error["operation"], "create");
    assert_eq!((&error["azure"]["status"], &error["azure"]["code"]), (&409.into(), &"VaultAlreadyExists".into()));
    assert!(error["azure"]["request_id"].as_str().is_some_and(|id| id.len() == 36), "{error:#}");
    assert!(error["next"].as_str().is_some_and(|next| next.ends_with("set another name under [vault]")), "{error:#}");
}

#[test]
fn what_is_in_the_way_is_told_beside_the_plan() {
    let subscription = Subscription::start("[[subscription.resource_groups]]\nname = 'ml-rg'\nlocation = 'eastus'\n");
    subscription.describe("name = 'ml-kv-way'");
    let plan = fails(&subscription, &["plan"], 70);
    assert_eq!((&plan["error"]["code"], &plan["summary"]["refuse"]), (&"in-the-way".into(), &1.into()), "{plan:#}");
    let apply = fails(&subscription, &["apply", "--yes"], 70);
    assert_eq!((&apply["error"]["code"], &apply["plan"]["summary"]["refuse"]), (&"in-the-way".into(), &1.into()));
}

#[test]
fn an_estate_that_is_not_there_is_told_with_the_command_that_makes_it() {
    let subscription = whole("");
    let error = fails(&subscription, &["output"], 66)["error"].take();
    assert_eq!(error["code"], "no-estate");
    assert!(error["next"].as_str().is_some_and(|next| next.contains("keyside-bootstrap apply")), "{error:#}");
}

#[test]
fn without_a_yes_nothing_is_asked_even_on_a_terminal_and_what_to_do_is_said() {
    let subscription = whole("");
    let error = fails(&subscription, &["apply"], 75);
    assert_eq!(error["error"]["code"], "not-confirmed");
    assert_eq!(error["plan"]["summary"]["create"], 25, "what it would do is shown: {error:#}");
    assert!(error["error"]["next"].as_str().is_some_and(|next| next.contains("--yes")), "{error:#}");
    assert_eq!(subscription.writes(), Vec::<String>::new());
    subscription.succeed(&["apply", "--yes"]);
    let error = fails(&subscription, &["destroy"], 75);
    assert_eq!(error["error"]["code"], "not-confirmed");
    assert!(error["steps"].as_array().is_some_and(|steps| steps.len() > 10), "{error:#}");
    let seen = subscription.refused_on_terminal("destroy --output json", "xterm");
    let (json, said) = seen.split_once("keyside-bootstrap: nothing was done: ").expect("it says what to do");
    assert!(said.contains("so say --yes"), "{seen}");
    assert!(
        !seen.contains('\u{1b}') && !json.contains("Type the name"),
        "nothing is drawn and nothing is asked: {seen}"
    );
}

#[test]
fn progress_on_a_terminal_does_not_mix_with_the_document() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-quiet'");
    let seen = subscription.run_on_terminal("apply --yes --output json", "xterm");
    let json: Value = serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen:?}"));
    assert_eq!(json["plan"]["summary"]["create"], 3);
}

#[test]
fn a_command_line_that_is_not_understood_is_told_as_it_asks() {
    let subscription = Subscription::start("");
    let error = fails(&subscription, &["secret", "retire", "db"], 64)["error"].take();
    assert_eq!(error["code"], "usage");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("required arguments")), "{error:#}");
    let run = subscription.run(&["plan", "--output=json", "--colour"]);
    assert_eq!((run.code, document(&run)["error"]["code"].take()), (Some(64), "usage".into()));
    let run = subscription.run(&["plan", "--colour"]);
    assert!(run.out.is_empty() && run.errors.contains("--colour"), "people get text alone: {}", run.out);
}

#[test]
fn a_subscription_that_nobody_sees_is_told_by_azures_code() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-finding'");
    let text = std::fs::read_to_string(subscription.folder().join("estate.toml")).expect("the description");
    let other = text.replace(SUBSCRIPTION, "00000000-0000-4000-8000-00000000000f");
    std::fs::write(subscription.folder().join("estate.toml"), other).expect("written");
    let plan = fails(&subscription, &["plan"], 70);
    assert_eq!(plan["error"]["azure"]["code"], "SubscriptionNotFound", "{plan:#}");
}
