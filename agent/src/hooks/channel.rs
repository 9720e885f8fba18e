//! The way between the agent and the helper: how the helper is started, and what is said, one JSON document a line.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Blocking;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::settings::{Action, Hook};

/// The program that runs, whatever became of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The command of the helper, which the list of commands does not show.
pub const COMMAND: &str = "hooks-helper";

/// All hooks, by their place in the configuration. It is the first thing said, before the agent has read anything from
/// the network, and the only time that the helper learns of a program or a path.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) actions: Vec<Action>,
}

/// Says which hook is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    /// Its place in [`Setup`].
    pub(super) hook: usize,
    /// The secrets that changed, by name.
    pub(super) changed: Vec<String>,
}

/// Says how a hook that was ordered ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) hook: usize,
    pub(super) outcome: Outcome,
    /// Why, where it did not succeed; never what a command printed.
    pub(super) detail: Option<String>,
}

/// How a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The command ended with 0, or the signal was sent.
    Succeeded,
    /// The command ended otherwise or could not be started, or nobody got the signal.
    Failed,
    /// The command was ended, because it took too long.
    TimedOut,
    /// There was no helper to do it.
    Unavailable,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::TimedOut, Self::Unavailable];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The helper's process, with the agent's end of the way to it.
#[derive(Debug)]
pub struct Helper {
    pub(super) child: Child,
    pub(super) channel: Blocking,
}

impl Helper {
    /// Starts the helper, which commands inherit from what they are given besides `variables`: limits, groups, rights. It
    /// must be called before the agent gives up any, and before it has a secret.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(hooks: &[Hook], variables: &[(String, String)]) -> io::Result<Self> {
        let (mut channel, other) = Blocking::pair()?;
        let mut command = Command::new(OWN_PROGRAM);
        command.arg0("keyside").arg(COMMAND).env_clear().envs(variables.iter().cloned());
        let child = command.stdin(OwnedFd::from(other)).stdout(Stdio::null()).spawn()?;
        let setup = Setup { actions: hooks.iter().map(|hook| hook.action.clone()).collect() };
        io::Write::write_all(&mut channel, &line(&setup))?;
        channel.set_nonblocking(true)?;
        Ok(Self { child, channel })
    }
}

/// One end of the way, which hears `In` and says anything.
#[derive(Debug)]
pub(super) struct Channel {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Channel {
    pub(super) fn new(stream: Blocking) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::over(UnixStream::from_std(stream)?))
    }

    pub(super) fn over(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { lines: BufReader::new(reader).lines(), writer }
    }

    /// Hears the next document; none when the other end is closed. Nothing is lost when this is dropped before its end.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let line = self.lines.next_line().await?;
        Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
    }

    pub(super) async fn say(&mut self, document: &impl Serialize) -> io::Result<()> {
        self.writer.write_all(&line(document)).await
    }

    /// Lets the other end know that nothing more is said.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }
}

fn line(document: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(document).expect("documents have text keys and plain values");
    line.push(b'\n');
    line
}
