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
    count: u64,
    since: Timestamp,
}

impl Lost {
    /// One more than before, the first of them at `at`.
    pub(super) fn and_one(before: Option<Self>, at: Timestamp) -> Self {
        before.map_or(Self { count: 1, since: at }, |lost| Self { count: lost.count + 1, ..lost })
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

    /// The line, and before it the one that tells what was lost.
    pub(super) fn lines(&self) -> impl Iterator<Item = Vec<u8>> {
        let lost = self.lost.map(|lost| text(&LostLine { time: self.at, lost: lost.count, since: lost.since }));
        let who = self.who;
        let line = text(&Line {
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
        });
        lost.into_iter().chain([line])
    }
}

fn text(line: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("lines have text keys and plain values");
    text.push(b'\n');
    text
}
