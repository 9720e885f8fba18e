//! Many readers, and many who ask for a look, at a time when there is nothing to be had: what Azure sees of them.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use keyside_emulator::fault::Fault;
use keyside_emulator::vault::{Attributes, Draft};
use keyside_tests::agent::Agent;
use keyside_tests::cloud::Cloud;
use keyside_tests::estate::VAULT;
use keyside_tests::http::Connection;
use keyside_tests::report::say;
use keyside_tests::wait;

use crate::budget::{self, Length};

const CROWD: usize = 64;

/// How many looks one user may ask for at once (docs/http-api.md).
const BURST: usize = 5;

/// The longest interval: nothing is looked at while the crowd is there, unless it causes it.
const DAILY: &str = "[rotation]\npoll_interval = '24h'\n";

/// Has everybody do the same at the same time, and gives what each of them got.
fn all_at_once<T: Send>(act: impl Fn() -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(CROWD);
    let take_part = || {
        barrier.wait();
        act()
    };
    std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(take_part)).collect();
        crowd.into_iter().map(|one| one.join().expect("it gets an answer")).collect()
    })
}

fn ask_for_a_look(agent: &Agent) -> (u16, String) {
    let answer = Connection::open(agent.socket()).request("POST", "/v1/refresh", &[]);
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

fn calls(cloud: &Cloud) -> usize {
    let host = format!("{VAULT}.vault.azure.net");
    cloud.requests().iter().filter(|entry| entry.method == "GET" && entry.host == host).count()
}

#[test]
fn sixty_four_readers_of_what_is_expired_absent_or_revoked_cause_no_call() {
    let cloud = Cloud::start(&[("revoked", "taken-9wBt3x")]);
    let (vaults, now) = (cloud.emulator().vaults(), cloud.emulator().clock().now());
    let then = now - Duration::from_hours(48);
    let attributes = Attributes { exp: Some(then.as_second()), ..Attributes::default() };
    let expired = Draft { attributes, ..Draft::plain("expired-4kLm8r") };
    vaults.set_secret(VAULT, "expired", expired, then).expect("a secret");
    let optional = |name| format!("[[secret]]\nname = '{name}'\noptional = true\n");
    let secrets = ["expired", "revoked", "absent"].map(optional).concat();
    let agent = cloud.agent(&format!("{DAILY}{secrets}"));
    wait::until("the first value", || (agent.get("/v1/secrets/revoked/value").status == 200).then_some(()));
    vaults.enable_secret(VAULT, "revoked", false, now).expect("it is there");
    assert_eq!(ask_for_a_look(&agent).0, 200);

    let expected = [("expired", 200), ("revoked", 410), ("absent", 410), ("unheard-of", 404)];
    let read = |connection: &mut Connection| {
        expected.map(|(name, _)| connection.get(&format!("/v1/secrets/{name}/value")).status)
    };
    let expected = expected.map(|(_, status)| status);
    wait::until("the second answer about each", || {
        (read(&mut Connection::open(agent.socket())) == expected).then_some(())
    });
    let before = cloud.requests();
    let answers = all_at_once(|| {
        let mut connection = Connection::open(agent.socket());
        [(); 10].map(|()| read(&mut connection))
    });
    assert!(answers.iter().all(|answers| *answers == [expected; 10]), "{answers:?}");
    assert_eq!(cloud.requests(), before, "nothing was asked of Azure");
}

#[test]
fn sixty_four_who_ask_for_a_look_share_what_one_user_is_granted() {
    let names = ["one", "two", "three", "four"];
    let cloud = Cloud::start(&names.map(|name| (name, "first-7fKq2m")));
    let secrets = names.map(|name| format!("[[secret]]\nname = '{name}'\n")).concat();
    let agent = cloud.agent(&format!("{DAILY}{secrets}"));
    let delay = Duration::from_secs(2);
    cloud
        .emulator()
        .faults()
        .add(Fault { delay, host: "*.vault.azure.net".into(), ..Fault::default() })
        .expect("a fault");
    let before = calls(&cloud);
    let answers = all_at_once(|| ask_for_a_look(&agent));
    let granted = answers.iter().filter(|(status, _)| *status == 200).count();
    let refused = answers.iter().filter(|(_, code)| code == "too_many_refreshes").count();
    assert_eq!((granted, refused), (BURST, CROWD - BURST), "{answers:?}");
    // Whoever asks while a look is under way shares the next one with all others who do.
    let calls = calls(&cloud) - before;
    assert!((names.len()..=2 * names.len()).contains(&calls), "{calls} calls");
}

#[test]
fn sixty_four_who_ask_for_a_look_in_an_outage_cause_no_more_than_the_outage_does() {
    let names = ["one", "two", "three", "four"];
    let cloud = Cloud::start(&names.map(|name| (name, "first-7fKq2m")));
    let secrets = names.map(|name| format!("[[secret]]\nname = '{name}'\n")).concat();
    let agent = cloud.agent(&format!("[rotation]\npoll_interval = '1s'\n{secrets}"));
    let start = Instant::now();
    let fault = Fault { status: Some(503), host: "*.vault.azure.net".into(), ..Fault::default() };
    cloud.emulator().faults().add(fault).expect("a fault");
    let before = calls(&cloud);
    let circuit =
        || agent.get("/v1/status").json()["operation"]["circuits"][&format!("https://{VAULT}.vault.azure.net")].clone();
    wait::until("the vault to be left alone", || (circuit() == "open").then_some(()));
    let answers = all_at_once(|| ask_for_a_look(&agent));
    assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 429 | 503)), "{answers:?}");
    let looks = answers.iter().filter(|(status, _)| *status == 200).count();
    let length = Length { whole: start.elapsed(), request: Duration::ZERO };
    let (calls, allowed) = (calls(&cloud) - before, budget::outage(length, Duration::from_secs(1)));
    say(&format!(
        "{CROWD} asked for a look in an outage, {looks} got one: {calls} calls of {allowed} in {:?}",
        length.whole
    ));
    assert!(calls <= allowed, "{calls} calls, {allowed} allowed");
}
