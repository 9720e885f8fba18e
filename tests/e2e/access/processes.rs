//! That the process in the audit is the one that connected, whatever has become of it and of its number since.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keyside_tests::estate::Estate;
use keyside_tests::report::skipped;
use keyside_tests::wait;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

use super::{TRAINER, may_be_others};

/// Asks over the connection that is open as descriptor 9, once for each line it reads.
const ASK: &str = r"
import os,sys
for line in sys.stdin:
    os.write(9, b'GET /v1/secrets/db/value HTTP/1.1\r\nHost: x\r\n\r\n')
    print(os.read(9, 65536).split(b' ')[1].decode(), flush=True)
";

/// Connects, and becomes another program of the same rights that asks over the connection.
const EXEC: &str = r"
import os,socket,sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); os.dup2(s.fileno(), 9)
os.execvp('python3', ['python3', '-c', sys.argv[2]])
";

/// Connects and ends, and leaves the connection to a child that asks over it.
const END: &str = r"
import os,socket,sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); os.dup2(s.fileno(), 9)
if os.fork() == 0:
    os.execvp('python3', ['python3', '-c', sys.argv[2]])
";

struct Caller {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Caller {
    fn start(script: &str, socket: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(socket).arg(ASK).uid(TRAINER).gid(TRAINER);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, answers }
    }

    fn ask(&mut self) -> String {
        writeln!(self.process.stdin.as_mut().expect("piped"), "ask").expect("it reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        answer.trim().to_owned()
    }
}

/// A folder for the audit that nobody else writes to, and the lines of it.
struct Audited {
    estate: Estate,
    agent: keyside_tests::agent::Agent,
}

impl Audited {
    fn start() -> Self {
        let estate = Estate::start(&[("db", "one")]);
        let audit = estate.folder().join("audit");
        let secret = format!("[[secret]]\nname = 'db'\nfile = false\nreaders = ['uid:{TRAINER}']\n");
        let agent = estate.agent(&format!("[audit]\nfile = '{}'\n{secret}", audit.display()));
        Self { estate, agent }
    }

    fn line(&self, number: usize) -> Value {
        wait::until("the line", || {
            let text = std::fs::read_to_string(self.estate.folder().join("audit")).ok()?;
            serde_json::from_str(text.lines().nth(number)?).ok()
        })
    }
}

fn kernel_has_handles() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or_default());
    let has = (numbers.next(), numbers.next()) >= (Some(6), Some(5));
    if !has {
        skipped("this kernel has no SO_PEERPIDFD (Linux 6.5)");
    }
    has
}

#[test]
fn a_process_that_became_another_program_is_still_the_one_that_connected() {
    if !may_be_others() {
        return;
    }
    let audited = Audited::start();
    let mut caller = Caller::start(EXEC, audited.agent.socket());
    assert_eq!(caller.ask(), "200");
    let line = audited.line(0);
    assert_eq!((&line["pid"], &line["uid"]), (&caller.process.id().into(), &TRAINER.into()));
    assert_eq!(line["exited"], Value::Null, "it lives: {line}");
    drop(caller.process.stdin.take());
    caller.process.wait().expect("the end");
}

/// Whether there is a process of this number, or a thread.
fn is_taken(pid: u32) -> bool {
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), None).is_ok()
}

/// Has the kernel give this number to another process, or finds that it did.
fn take(pid: u32) -> Option<Child> {
    let mut child = None;
    wait::until("another process of the same number", || {
        if is_taken(pid) {
            return Some(());
        }
        // The next process gets the number after this one (proc(5)), unless somebody else is faster.
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("root may");
        let other = Command::new("sleep").arg("60").spawn().expect("sleep starts");
        if other.id() == pid {
            child = Some(other);
            return Some(());
        }
        end(other);
        None
    });
    child
}

fn end(mut process: Child) {
    drop(process.kill());
    process.wait().expect("the end");
}

#[test]
fn a_number_that_another_process_has_by_now_is_marked() {
    if !may_be_others() || !kernel_has_handles() {
        return;
    }
    let audited = Audited::start();
    let mut caller = Caller::start(END, audited.agent.socket());
    let pid = caller.process.id();
    caller.process.stdout = None;
    // Its input stays open for the child, who got a copy of it.
    let input = caller.process.stdin.take();
    caller.process.wait().expect("the end of the one that connected");
    caller.process.stdin = input;
    let other = take(pid);
    assert_eq!(caller.ask(), "200", "who has the connection has the rights of who opened it");
    let line = audited.line(0);
    assert_eq!((&line["pid"], &line["uid"], &line["exited"]), (&pid.into(), &TRAINER.into(), &true.into()), "{line}");
    assert!(is_taken(pid), "another process has the number");
    other.into_iter().for_each(end);
}
