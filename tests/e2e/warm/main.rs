//! One agent after another under a service manager: what the first leaves, the second serves at once.

mod manager;

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyside::memory::Region;
use keyside_tests::agent::Agent;
use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::report::{say, skipped};
use keyside_tests::wait;
use nix::sys::signal::Signal;

use manager::{Manager, Vault};

const SECRETS: &[(&str, &str)] = &[("db-password", "first-7fKq2m"), ("token", "token-x91Lw0")];
const DB: &str = "[[secret]]\nname = 'db-password'\n";
const TOKEN: &str = "[[secret]]\nname = 'token'\n";

/// Whether this kernel has the memory that can be kept.
fn has_secret_memory() -> bool {
    let has = Region::create(4096).is_ok();
    if !has {
        skipped("this kernel has no memfd_secret, so that no value outlives an agent");
    }
    has
}

fn warm_restart(agent: &Agent) -> String {
    agent.get("/v1/status").json()["operation"]["warm_restart"].as_str().expect("a word").to_owned()
}

/// Waits until what the agent says is kept: a page and at least one mapping.
fn wait_for_keeping(manager: &Manager) -> Vec<String> {
    wait::until("the values to be kept", || {
        let kept = manager.kept();
        kept.iter().any(|name| name.ends_with("-root")).then_some(kept)
    })
}

#[test]
fn with_the_vault_down_a_restart_serves_again_at_once_and_says_how_old_it_is() {
    if !has_secret_memory() {
        return;
    }
    let estate = Estate::start(SECRETS);
    let manager = Manager::start(&estate);
    let config = estate.config(&format!("{DB}{TOKEN}"));
    let mut first = manager.start_agent(&config, &estate, Vault::Up);
    first.wait_until_ready();
    assert_eq!(warm_restart(&first), "on");
    let before = wait_for_keeping(&manager);
    wait::until("the watchdog to be fed", || manager.was_told("WATCHDOG=1").then_some(()));
    assert!(first.stop().success());
    assert!(manager.was_told("STOPPING=1") && manager.was_told("READY=1"));
    assert!(estate.socket().exists(), "the socket is the service manager's");

    manager.turn_the_page();
    let start = Instant::now();
    let mut second = manager.start_agent(&config, &estate, Vault::Down);
    second.wait_until_ready();
    say(&format!("ready {:?} after the restart, without a vault", start.elapsed()));
    assert_eq!(second.value("db-password"), b"first-7fKq2m");
    let answer = second.get("/v1/secrets/token/value");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"token-x91Lw0"[..]));
    assert!(answer.headers.contains_key("keyside-stale") && answer.headers.contains_key("age"), "{:?}", answer.headers);
    assert!(second.log().contains("taken over from the agent before"), "{}", second.log());
    wait::until("READY", || manager.was_told("READY=1").then_some(()));
    let after = wait::until("the keeping to change hands", || {
        let kept = manager.kept();
        (!kept.iter().any(|name| before.contains(name)) && kept.len() == before.len()).then_some(kept)
    });
    assert!(after.iter().any(|name| name.ends_with("-root")), "{after:?}");

    second.signal(Signal::SIGKILL);
    drop(second);
    estate.emulator.set_secret(VAULT, "db-password", "second-8gLr3n");
    let mut third = manager.start_agent(&config, &estate, Vault::Up);
    third.wait_until_ready();
    wait::until("the new value", || (third.value("db-password") == b"second-8gLr3n").then_some(()));
    wait::until("the vault's word", || {
        (!third.get("/v1/secrets/token/value").headers.contains_key("keyside-stale")).then_some(())
    });
    assert!(third.stop().success());

    manager.drop_kept();
    let fourth = manager.start_agent(&config, &estate, Vault::Down);
    wait::until("the failure in the status", || {
        fourth.get("/v1/status").json()["failures"].as_array().filter(|failures| failures.len() == 2).map(drop)
    });
    assert_eq!(fourth.get("/readyz").status, 503, "after a stop nothing is left");
}

#[test]
fn what_is_not_configured_any_more_is_not_taken_over() {
    if !has_secret_memory() {
        return;
    }
    let estate = Estate::start(SECRETS);
    let manager = Manager::start(&estate);
    let mut first = manager.start_agent(&estate.config(&format!("{DB}{TOKEN}")), &estate, Vault::Up);
    first.wait_until_ready();
    wait_for_keeping(&manager);
    assert!(first.stop().success());
    let config = estate.config(&format!("{DB}[[secret]]\nname = 'token'\nvault_name = 'other'\noptional = true\n"));
    let mut second = manager.start_agent(&config, &estate, Vault::Down);
    second.wait_until_ready();
    assert_eq!(second.value("db-password"), b"first-7fKq2m");
    assert_eq!(second.get("/v1/secrets/token/value").status, 503);
    assert!(second.log().contains("it is configured otherwise now"), "{}", second.log());
    assert!(second.stop().success());
    let config = estate.config(&format!("[memory]\nwarm_restart = false\n{DB}"));
    let third = manager.start_agent(&config, &estate, Vault::Down);
    wait::until("everything to be given up", || manager.kept().is_empty().then_some(()));
    assert_eq!(third.get("/readyz").status, 503);
    assert_eq!(warm_restart(&third), "off: it is switched off");
}

#[test]
fn what_no_agent_gave_is_closed_and_told() {
    if !has_secret_memory() {
        return;
    }
    let estate = Estate::start(SECRETS);
    let manager = Manager::start(&estate);
    let file = std::fs::File::open("/dev/null").expect("opens");
    let (mut page, descriptor) = Region::create(4096).expect("secret memory");
    assert!(page.write(0, &[0xff; 4096]));
    manager.smuggle("keyside-00000000000000ab-root", descriptor.as_fd());
    manager.smuggle("keyside-00000000000000cd-root", file.as_fd());
    manager.smuggle("something", file.as_fd());
    let mut agent = manager.start_agent(&estate.config(DB), &estate, Vault::Up);
    agent.wait_until_ready();
    let kept = wait::until("the rest to be given up", || Some(manager.kept()).filter(|kept| kept.len() == 2));
    assert!(kept.iter().all(|name| name != "something" && !name.contains("-00000000000000")), "{kept:?}");
    for told in ["it is no secret memory", "it is no page of a Keyside agent", "that is not this agent's"] {
        assert!(agent.log().contains(told), "{told}: {}", agent.log());
    }
    assert_eq!(agent.value("db-password"), b"first-7fKq2m");
}

/// Reads the secret over a connection of its own.
fn read(socket: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET /v1/secrets/db-password/value HTTP/1.1\r\nHost: keyside\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn no_restart_loses_a_connection() {
    let estate = Estate::start(SECRETS);
    let manager = Manager::start(&estate);
    let config = estate.config(DB);
    let mut agent = manager.start_agent(&config, &estate, Vault::Up);
    agent.wait_until_ready();
    let (socket, done) = (estate.socket(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut read_so_far = 0;
                    while !done.load(Ordering::Relaxed) {
                        let answer = read(&socket).unwrap_or_else(|error| panic!("read {read_so_far}: {error}"));
                        let is_whole = answer.starts_with("HTTP/1.1 200") && answer.ends_with("first-7fKq2m");
                        // An agent that has not fetched yet says so.
                        assert!(is_whole || answer.starts_with("HTTP/1.1 503"), "read {read_so_far}: {answer:?}");
                        read_so_far += 1;
                    }
                    read_so_far
                })
            })
            .collect();
        for _ in 0..5 {
            assert!(agent.stop().success());
            agent = manager.start_agent(&config, &estate, Vault::Up);
            agent.wait_until_ready();
        }
        done.store(true, Ordering::Relaxed);
        let read: u32 = readers.into_iter().map(|reader| reader.join().expect("no connection is lost")).sum();
        say(&format!("{read} connections over 5 restarts, none lost"));
        assert!(read > 20, "{read}");
    });
}
