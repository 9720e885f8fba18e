//! One line of the audit: who asked for what, and what came of it. There is no place in it for a value.

use jiff::Timestamp;
use serde::Serialize;

use crate::secret::{SecretName, Version};
use crate::serve::peer::{Caller, Who};

/// One answer, on its way to the file.
#[derive(Debug)]
pub(in crate::serve) struct Entry {
    pub(super) at: Timestamp,
    who: Option<Who>,
    event: Event,
    generation: u64,
    /// What could not be written before this one.
    pub(super) lost: Option<Lost>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Event {
    /// The route, as the contract calls it.
    pub(in crate::serve) route: &'static str,
    /// The secret that was asked for; none where the request names none that could exist.
    pub(in crate::serve) secret: Option<SecretName>,
    /// The version that was given, or that the caller has already.
    pub(in crate::serve) version: Option<Version>,
    /// The word for what came of it.
    pub(in crate::serve) verdict: &'static str,
}

/// Lines that nobody will read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) count: u64,
    since: Timestamp,
    latest: Timestamp,
}

impl Lost {
    /// One more than before, the latest of them at `at`.
    pub(super) fn and_one(before: Option<Self>, at: Timestamp) -> Self {
        let first = Self { count: 0, since: at, latest: at };
        let before = before.unwrap_or(first);
        Self { count: before.count + 1, latest: at, ..before }
    }

    /// The line that tells of it where no other line comes after it.
    pub(super) fn last_line(&self) -> Vec<u8> {
        let mut text = Vec::new();
        self.write_at(self.latest, &mut text);
        text
    }

    fn write_at(&self, time: Timestamp, text: &mut Vec<u8>) {
        write_line(text, &LostLine { time, lost: self.count, since: self.since });
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    uid: Option<u32>,
    gid: Option<u32>,
    pid: Option<i32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exited: bool,
    route: &'a str,
    secret: Option<&'a str>,
    version: Option<&'a str>,
    verdict: &'a str,
    generation: u64,
}

#[derive(Serialize)]
struct LostLine {
    time: Timestamp,
    lost: u64,
    since: Timestamp,
}

impl Entry {
    /// What happened at `at`, while the store had this generation.
    pub(in crate::serve) fn new(at: Timestamp, caller: &Caller, event: Event, generation: u64) -> Self {
        Self { at, who: caller.who(), event, generation, lost: None }
    }

    /// Writes the line, and before it the one that tells what was lost; answers how many these are.
    pub(super) fn write_to(&self, text: &mut Vec<u8>) -> u64 {
        if let Some(lost) = self.lost {
            lost.write_at(self.at, text);
        }
        let who = self.who;
        let line = Line {
            time: self.at,
            uid: who.map(|who| who.uid),
            gid: who.map(|who| who.gid),
            pid: who.and_then(|who| who.pid),
            exited: who.is_some_and(|who| who.exited),
            route: self.event.route,
            secret: self.event.secret.as_ref().map(SecretName::as_str),
            version: self.event.version.as_ref().map(Version::as_str),
            verdict: self.event.verdict,
            generation: self.generation,
        };
        write_line(text, &line);
        1 + u64::from(self.lost.is_some())
    }
}

fn write_line(text: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *text, line).expect("lines have text keys and plain values");
    text.push(b'\n');
}
