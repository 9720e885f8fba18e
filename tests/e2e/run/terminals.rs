//! A run on a terminal: keys reach the command, and a shell's job control sees the run as one job.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use keyside_tests::estate::Estate;
use keyside_tests::report::say;
use keyside_tests::wait;

use super::wrapper::{self, SECRETS};

/// A terminal with a program on it, made by `script`, which every Debian has.
struct Screen<'a> {
    estate: &'a Estate,
    script: Child,
}

/// A run as a line for a shell.
fn run(estate: &Estate, command: &str) -> String {
    let run = wrapper::command(estate, &["--env", "db-password"], &["sh", "-c", command]);
    let words = run.get_args().skip(1).map(|word| format!("'{}'", word.display().to_string().replace('\'', r"'\''")));
    words.collect::<Vec<_>>().join(" ")
}

impl<'a> Screen<'a> {
    fn new(estate: &'a Estate, line: &str) -> Self {
        let mut script = Command::new("script");
        script.args(["--quiet", "--flush", "--return", "--echo", "never", "--command", line]);
        script.arg(estate.folder().join("screen")).env_clear().envs(wrapper::variables(estate));
        script.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").env("PS1", "prompt> ");
        script.stdin(Stdio::piped()).stdout(Stdio::null());
        Self { estate, script: script.spawn().expect("script(1) is installed") }
    }

    fn path(&self) -> std::path::PathBuf {
        self.estate.folder().join("screen")
    }

    fn shows(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    fn wait_for(&self, word: &str) {
        wait::until(&format!("'{word}' on {}", self.path().display()), || self.shows().contains(word).then_some(()));
    }

    fn press(&mut self, keys: &str) {
        self.script.stdin.as_mut().expect("a keyboard").write_all(keys.as_bytes()).expect("keys");
    }

    fn end(&mut self) -> Option<i32> {
        let shows = self.shows();
        wait::until(&format!("the end: {shows}"), || self.script.try_wait().expect("it can be asked")).code()
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&self.shows());
        }
        // It may have ended already, as it should.
        drop(self.script.kill().and_then(|()| self.script.wait()));
    }
}

/// A program without children: a shell that starts one all the time does not stop at the moment in which it starts one. The
/// words that the test waits for are not in it, since a shell shows the line of a stopped job.
const ENDS_BY_INTERRUPT: &str = r#"exec python3 -uc '
import signal, sys
word = "got"
signal.signal(signal.SIGCONT, lambda number, frame: print(word + "-CONT."))
signal.signal(signal.SIGINT, lambda number, frame: sys.exit(print(word + "-INT.") or 9))
print("started.")
while True: signal.pause()
'"#;

#[test]
fn an_interrupt_reaches_the_command_and_its_end_the_caller() {
    let estate = Estate::start(SECRETS);
    let mut screen = Screen::new(&estate, &format!("exec {}", run(&estate, ENDS_BY_INTERRUPT)));
    screen.wait_for("started.");
    screen.press("\x03");
    assert_eq!(screen.end(), Some(9), "{}", screen.shows());
    assert!(screen.shows().contains("got-INT."), "{}", screen.shows());
}

#[test]
fn a_command_can_read_from_the_terminal_also_as_a_part_of_a_pipeline() {
    let reads = "echo started.; read line; echo \"read-$line.\"";
    for pipe in ["", " | cat"] {
        let estate = Estate::start(SECRETS);
        let mut screen = Screen::new(&estate, &format!("{}{pipe}", run(&estate, reads)));
        screen.wait_for("started.");
        screen.press("hello\n");
        assert_eq!(screen.end(), Some(0), "{}", screen.shows());
        assert!(screen.shows().contains("read-hello."), "{}", screen.shows());
    }
}

#[test]
fn a_shell_stops_and_continues_the_run_with_its_command() {
    let estate = Estate::start(SECRETS);
    let mut screen = Screen::new(&estate, "sh -i");
    screen.wait_for("prompt> ");
    screen.press(&format!("{}\n", run(&estate, ENDS_BY_INTERRUPT)));
    // The terminal does not show what is typed, so this is the command's.
    screen.wait_for("started.");
    screen.press("\x1a");
    screen.wait_for("Stopped");
    screen.press("fg\n");
    screen.wait_for("got-CONT.");
    screen.press("\x03");
    screen.wait_for("got-INT.");
    screen.press("echo code-$?.\n");
    screen.wait_for("code-9.");
    screen.press("exit 3\n");
    assert_eq!(screen.end(), Some(3), "{}", screen.shows());
}
