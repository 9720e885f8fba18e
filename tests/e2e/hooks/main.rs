//! Hooks over the real binaries: after a change is published, outside the agent's confinement, without a secret, and
//! without a way to hold anything up.

mod signals;

use std::fs::{self, Permissions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyside_tests::agent::{Agent, keyside};
use keyside_tests::estate::{CLIENT_SECRET, Estate, PLATFORM_SECRET, VAULT};
use keyside_tests::memory_scan::{self, Count};
use keyside_tests::report::skipped;
use keyside_tests::{binaries, wait};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const FIRST: &str = "first-value-7fKq2mXw9rT1";
const SECOND: &str = "second-value-Zp04vtRs6Pd0";
const SECRETS: &[(&str, &str)] = &[("db", FIRST), ("token", "token-x91Lw0")];
const CONFIG: &str = "[[secret]]\nname = 'db'\n[[secret]]\nname = 'token'\n";

/// An agent with one hook, and the folder that its command writes to, where the agent may not.
struct Hooked {
    estate: Estate,
    agent: Agent,
}

impl Hooked {
    /// The hook runs a script in `sh`, whose `$here` is a folder on which nothing else writes.
    fn with_script(script: &str, more: &str) -> Self {
        let estate = Estate::start(SECRETS);
        let here = estate.folder().join("here");
        fs::create_dir(&here).expect("a folder");
        let program = estate.folder().join("hook.sh");
        fs::write(&program, format!("#!/bin/sh\nhere={}\n{script}\n", here.display())).expect("a program");
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("own file");
        let command = format!("command = ['{}']\n{more}\n", program.display());
        Self::on(estate, &format!("[[on_change]]\nname = 'reload'\n{command}"))
    }

    fn on(estate: Estate, hook: &str) -> Self {
        let platform = [("MSI_SECRET", PLATFORM_SECRET), ("IDENTITY_HEADER", PLATFORM_SECRET), ("OF_ANYBODY", "1")];
        let mut variables = estate.variables();
        variables.extend(platform.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut agent = Agent::start(&estate.config(&format!("{CONFIG}{hook}")), &estate.socket(), &variables);
        agent.wait_until_ready();
        Self { estate, agent }
    }

    fn here(&self, name: &str) -> PathBuf {
        self.estate.folder().join("here").join(name)
    }

    /// What the script wrote, once all of it is there: a script ends a file with the line `end`.
    fn written(&self, name: &str) -> String {
        wait::until(&format!("{name} (log: {})", self.agent.log()), || {
            fs::read_to_string(self.here(name)).ok()?.strip_suffix("end\n").map(str::to_owned)
        })
    }

    /// Rotates a secret, and waits until the agent serves the new value.
    fn rotate(&self, name: &str, value: &str) {
        self.estate.emulator.set_secret(VAULT, name, value);
        self.agent.refresh();
        assert_eq!(self.agent.value(name), value.as_bytes());
    }

    fn standing(&self) -> Value {
        self.agent.get("/v1/status").json()["operation"]["hooks"][0].clone()
    }

    /// Waits until the hook's last run ended like this, and answers why.
    fn until_ended(&self, outcome: &str) -> String {
        wait::until(&format!("a hook that {outcome}"), || {
            let standing = self.standing();
            (standing["last"]["outcome"] == outcome && standing["state"] != "running").then_some(standing)
        })["last"]["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn counted(&self, outcome: &str) -> u32 {
        let metrics = String::from_utf8(self.agent.get("/metrics").body).expect("text");
        let series = format!("keyside_hook_runs_total{{hook=\"reload\",outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().expect("a number"))
    }

    /// The process that runs hooks.
    fn helper(&self) -> u32 {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.agent.pid())).expect("it runs");
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a helper")
    }
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a number")), signal).expect("it runs");
}

#[test]
fn a_command_reads_the_new_value_by_socket_and_by_file() {
    let keyside = binaries::path("keyside");
    let hooked = Hooked::with_script(
        &format!(
            "{{ {} get db; echo; cat $KEYSIDE_SECRETS_DIR/db; echo; echo $KEYSIDE_CHANGED; echo end; }} >$here/seen",
            keyside.display()
        ),
        "secrets = ['db']",
    );
    hooked.rotate("token", "token-2");
    assert_eq!(hooked.standing()["last"], Value::Null, "another secret's change, and no first version, runs it");
    hooked.rotate("db", SECOND);
    assert_eq!(hooked.written("seen"), format!("{SECOND}\n{SECOND}\ndb\n"));
    hooked.until_ended("succeeded");
    assert_eq!(hooked.counted("succeeded"), 1);
    assert!(hooked.agent.log().contains("a hook ran"), "{}", hooked.agent.log());
}

#[test]
fn a_command_is_not_confined_and_inherits_nothing_of_the_agents_hardening() {
    // Below the hard limit, so that it shows when the agent raises it.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("known");
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(1024).min(hard), hard).expect("lowered");
    let estate = Estate::start(SECRETS);
    let [by_hook, by_us] = ["by-hook", "by-us"].map(|name| estate.folder().join(name));
    fs::create_dir(&by_hook).and_then(|()| fs::create_dir(&by_us)).expect("two folders");
    let words = ["/bin/cp", "/proc/self/status", "/proc/self/limits"];
    let hook = format!(
        "[[on_change]]\nname = 'reload'\ncommand = {:?}\n",
        [&words[..], &[by_hook.to_str().expect("text")]].concat()
    );
    let hooked = Hooked::on(estate, &hook);
    let confined = hooked.agent.get("/v1/status").json()["operation"]["hardening"]["confined"].clone();
    if confined != "applied" {
        skipped(&format!("the agent itself is not confined here: {confined}"));
        return;
    }
    hooked.rotate("db", SECOND);
    // That it could write at all shows that it is not confined as the agent is.
    hooked.until_ended("succeeded");
    assert!(Command::new(words[0]).args(&words[1..]).arg(&by_us).status().expect("cp runs").success());
    let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).expect("a copy");
    assert_eq!(read(&by_hook, "limits"), read(&by_us, "limits"));
    let facts = |folder: &Path| -> Vec<String> {
        let kept = ["NoNewPrivs:", "Umask:", "SigBlk:", "Groups:", "CapEff:", "Seccomp:"];
        let status = read(folder, "status");
        status.lines().filter(|line| kept.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
    };
    assert_eq!(facts(&by_hook).len(), 6);
    assert_eq!(facts(&by_hook), facts(&by_us));
}

#[test]
fn a_command_has_no_variable_by_which_it_could_be_the_agent() {
    let hooked = Hooked::with_script("{ env; echo end; } >$here/seen", "");
    hooked.rotate("db", SECOND);
    let seen = hooked.written("seen");
    for text in ["AZURE_", "MSI_", "IDENTITY_", "OF_ANYBODY", "PROXY", CLIENT_SECRET, PLATFORM_SECRET, FIRST, SECOND] {
        assert!(!seen.contains(text), "{text} in {seen}");
    }
    let given = ["KEYSIDE_CHANGED=db\n", "KEYSIDE_SOCKET=/", "KEYSIDE_SECRETS_DIR=/", "PATH="];
    assert!(given.iter().all(|text| seen.contains(text)), "{seen}");
}

#[test]
fn the_process_that_runs_hooks_holds_no_secret() {
    let hooked = Hooked::with_script("exit 0", "");
    let helper = hooked.helper();
    if !memory_scan::is_allowed(helper) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    hooked.rotate("db", SECOND);
    hooked.until_ended("succeeded");
    let program = hooked.estate.folder().join("hook.sh").display().to_string();
    assert_ne!(memory_scan::count(helper, program.as_bytes()), Count::default(), "the scan finds what it was told");
    for text in [FIRST, SECOND, CLIENT_SECRET, PLATFORM_SECRET] {
        assert_eq!(memory_scan::count(helper, text.as_bytes()), Count::default(), "{text}");
    }
}

#[test]
fn changes_while_a_command_runs_make_one_more_run() {
    let hooked = Hooked::with_script(
        "echo \"$KEYSIDE_CHANGED\" >>$here/runs; until test -e $here/gate; do sleep 0.01; done",
        "",
    );
    hooked.rotate("db", "2");
    wait::until("the first run", || hooked.here("runs").exists().then_some(()));
    for (name, value) in [("token", "2"), ("db", "3")] {
        hooked.rotate(name, value);
    }
    assert_eq!(fs::read_to_string(hooked.here("runs")).expect("runs"), "db\n", "it still runs");
    fs::write(hooked.here("gate"), "").expect("opened");
    wait::until("the second run", || (hooked.counted("succeeded") == 2).then_some(()));
    hooked.rotate("db", "4");
    wait::until("a run for a later change", || (hooked.counted("succeeded") == 3).then_some(()));
    assert_eq!(fs::read_to_string(hooked.here("runs")).expect("runs"), "db\ndb token\ndb\n");
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started_and_holds_nothing_up() {
    let hooked = Hooked::with_script(
        "sh -c 'trap \"\" TERM; echo $$ >'$here'/child; while :; do sleep 60; done' & echo $$ >$here/own; wait",
        "timeout = '2s'",
    );
    hooked.rotate("db", SECOND);
    let [own, child] = ["own", "child"]
        .map(|name| wait::until(name, || fs::read_to_string(hooked.here(name)).ok()?.trim().parse::<u32>().ok()));
    hooked.rotate("db", "third");
    assert_eq!(hooked.standing()["state"], "running", "and readers have the third value meanwhile");
    assert_eq!(hooked.until_ended("timed_out"), "ended after 2s");
    wait::until("the end of the whole group", || (!is_running(own) && !is_running(child)).then_some(()));
    assert!(hooked.agent.log().contains("timed_out"), "{}", hooked.agent.log());
}

#[test]
fn a_command_that_fails_is_counted_and_fetching_goes_on() {
    let hooked = Hooked::with_script("echo this-is-not-logged; echo nor-is-this >&2; exit 3", "");
    hooked.rotate("db", SECOND);
    assert_eq!(hooked.until_ended("failed"), "ended with exit status: 3");
    fs::remove_file(hooked.estate.folder().join("hook.sh")).expect("removed");
    hooked.rotate("db", "third");
    wait::until("the second failure", || (hooked.counted("failed") == 2).then_some(()));
    let detail = hooked.until_ended("failed");
    assert!(detail.starts_with("could not start /"), "{detail}");
    hooked.rotate("db", "fourth");
    let log = hooked.agent.log();
    assert!(!log.contains("this-is-not-logged") && !log.contains("nor-is-this"), "{log}");
    assert!(log.contains("ended with exit status: 3"), "{log}");
}

#[test]
fn a_command_gets_no_descriptor_that_whoever_started_the_agent_left_open() {
    let estate = Estate::start(SECRETS);
    let seen = estate.folder().join("seen");
    let program = estate.folder().join("hook.sh");
    let list = "ls -l /proc/self/fd >\"$(dirname $0)/seen\"; echo end >>\"$(dirname $0)/seen\"";
    fs::write(&program, format!("#!/bin/sh\n{list}\n")).expect("a program");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("own file");
    let left_open = fs::File::create(estate.folder().join("left-open")).expect("a file");
    let inheritable = nix::unistd::dup(&left_open).expect("a duplicate");
    let hooked = Hooked::on(estate, &format!("[[on_change]]\nname = 'reload'\ncommand = ['{}']\n", program.display()));
    let of_agent = format!("/proc/{}/fd/{}", hooked.agent.pid(), inheritable.as_raw_fd());
    assert!(fs::read_link(of_agent).expect("inherited").ends_with("left-open"), "the agent got it");
    hooked.rotate("db", SECOND);
    hooked.until_ended("succeeded");
    let seen = fs::read_to_string(seen).expect("written");
    assert!(seen.ends_with("end\n") && !seen.contains("left-open"), "{seen}");
}

#[test]
fn what_is_found_at_a_start_runs_no_hook() {
    let estate = Estate::start(SECRETS);
    drop(estate.agent(&format!("on_stop = 'keep'\n{CONFIG}")));
    let touched = estate.folder().join("touched");
    let hook = format!("[[on_change]]\ncommand = ['/usr/bin/touch', '{}']\n", touched.display());
    let agent = estate.agent(&format!("on_stop = 'keep'\n{CONFIG}{hook}"));
    agent.refresh();
    assert_eq!(agent.get("/v1/status").json()["operation"]["hooks"][0]["last"], Value::Null);
    let config = estate.config(&format!("on_stop = 'keep'\n{CONFIG}{hook}")).display().to_string();
    drop(agent);
    let output = keyside(&["agent", "--once", "--config", &config], &estate.variables());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!touched.exists());
}

#[test]
fn without_its_helper_an_agent_goes_on_and_says_that_no_hook_runs() {
    let mut hooked = Hooked::with_script("echo run >>$here/runs", "");
    let helper = hooked.helper();
    signal(helper, Signal::SIGTERM);
    hooked.rotate("db", SECOND);
    hooked.until_ended("succeeded");
    signal(helper, Signal::SIGKILL);
    wait::until("the loss in the status", || (hooked.standing()["state"] == "unavailable").then_some(()));
    hooked.rotate("db", "third");
    hooked.until_ended("unavailable");
    let metrics = String::from_utf8(hooked.agent.get("/metrics").body).expect("text");
    assert!(metrics.contains("keyside_hook_available{hook=\"reload\"} 0\n"), "{metrics}");
    assert_eq!(hooked.counted("unavailable"), 1);
    assert!(hooked.agent.log().contains("the hooks' helper ended"), "{}", hooked.agent.log());
    assert_eq!(fs::read_to_string(hooked.here("runs")).expect("runs"), "run\n");
    assert_eq!(hooked.agent.stop().code(), Some(0));
}

#[test]
fn the_end_of_an_agent_is_the_end_of_its_helper_and_of_what_runs() {
    for gently in [true, false] {
        let mut hooked = Hooked::with_script("echo $$ >$here/own; while :; do sleep 0.01; done", "");
        let helper = hooked.helper();
        hooked.rotate("db", SECOND);
        let own = wait::until("the run", || fs::read_to_string(hooked.here("own")).ok()?.trim().parse::<u32>().ok());
        if gently {
            assert_eq!(hooked.agent.stop().code(), Some(0), "{}", hooked.agent.log());
            assert!(!is_running(own) && !is_running(helper), "both were waited for");
        } else {
            signal(hooked.agent.pid(), Signal::SIGKILL);
            wait::until("the end of both", || (!is_running(own) && !is_running(helper)).then_some(()));
        }
    }
}
