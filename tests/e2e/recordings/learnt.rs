//! What stands live for what was recorded: versions, page tokens, backups, and the times of each version.

use std::collections::BTreeMap;

use crate::verdict::Verdict;

/// The two times of a version, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) created: i64,
    pub(crate) updated: i64,
}

/// What one replay has learnt from the answers so far.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// Recorded to live: version ids, page tokens, backups.
    generated: BTreeMap<String, String>,
    /// By name, then by live version.
    versions: BTreeMap<String, BTreeMap<String, Times>>,
    /// By name, the live version that was written last.
    latest: BTreeMap<String, String>,
    /// The versions that the pages of one list have shown so far.
    listed: Vec<String>,
    assignment: Option<String>,
}

impl Learnt {
    /// `text` with everything generated in it replaced by what was generated live.
    pub(crate) fn translate(&self, text: &str) -> String {
        let replace = |text: String, (recorded, live): (&String, &String)| text.replace(recorded.as_str(), live);
        self.generated.iter().fold(text.to_owned(), replace)
    }

    /// Holds that `live` stands for `recorded` from here on, or that it is what has stood for it before.
    pub(crate) fn stands_for(&mut self, verdict: &mut Verdict, what: &str, (recorded, live): (&str, &str)) {
        if let Some(known) = self.generated.get(recorded) {
            verdict.expect(what, known.as_str(), live);
            return;
        }
        let taken = self.generated.values().any(|other| other == live);
        verdict.require(!taken, format!("{what}: {live} has already stood for something else"));
        self.generated.insert(recorded.to_owned(), live.to_owned());
    }

    /// Holds the times of a version against those seen before. `written` is whether the answer is to a write of it.
    pub(crate) fn check_times(
        &mut self,
        verdict: &mut Verdict,
        (name, version): (&str, Option<&str>),
        times: Times,
        written: bool,
    ) {
        let Times { created, updated } = times;
        verdict.require(created <= updated, format!("{name}: created {created} after updated {updated}"));
        let Some(version) = version.or(self.latest.get(name).map(String::as_str)).map(str::to_owned) else { return };
        let versions = self.versions.entry(name.to_owned()).or_default();
        match versions.insert(version.clone(), times) {
            None => {
                self.latest.insert(name.to_owned(), version);
            }
            Some(before) => {
                verdict.expect(&format!("{name}: created"), &before.created, &created);
                let ordered = if written { before.updated <= updated } else { before.updated == updated };
                verdict.require(ordered, format!("{name}: updated was {}, is {updated}", before.updated));
            }
        }
    }

    /// Notes that a list of versions shows `version`, which must exist and follow the one before it.
    pub(crate) fn list(&mut self, verdict: &mut Verdict, name: &str, version: &str) {
        let exists = self.versions.get(name).is_some_and(|versions| versions.contains_key(version));
        verdict.require(exists, format!("the list shows {version}, which nobody wrote"));
        let ordered = self.listed.last().is_none_or(|last| last.as_str() < version);
        verdict.require(ordered, format!("the list shows {version} out of order"));
        self.listed.push(version.to_owned());
    }

    /// Holds, at the end of a list of versions, that it was whole.
    pub(crate) fn end_list(&mut self, verdict: &mut Verdict, name: &str) {
        let written = self.versions.get(name).map_or(0, BTreeMap::len);
        verdict.expect("versions listed", &written, &std::mem::take(&mut self.listed).len());
    }

    /// Holds that all answers name the same role assignment, as one principal's do.
    pub(crate) fn check_assignment(&mut self, verdict: &mut Verdict, live: &str) {
        let known = self.assignment.get_or_insert_with(|| live.to_owned());
        verdict.expect("x-ms-keyvault-rbac-assignment-id", known.as_str(), live);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_once_is_substituted_and_held() {
        let mut learnt = Learnt::default();
        let mut verdict = Verdict::default();
        learnt.stands_for(&mut verdict, "version", ("aaa", "111"));
        learnt.stands_for(&mut verdict, "version", ("aaa", "111"));
        assert_eq!(
            (learnt.translate("/secrets/db/aaa?x"), verdict.differences.len()),
            ("/secrets/db/111?x".to_owned(), 0)
        );
        learnt.stands_for(&mut verdict, "version", ("aaa", "222"));
        learnt.stands_for(&mut verdict, "version", ("bbb", "111"));
        assert_eq!(verdict.differences.len(), 2, "{verdict}");
    }

    #[test]
    fn only_a_write_may_change_when_a_version_was_updated() {
        let times = |updated| Times { created: 5, updated };
        for (second, written, expected) in [(7, true, 0), (7, false, 1), (5, false, 0), (4, true, 2)] {
            let mut learnt = Learnt::default();
            let mut verdict = Verdict::default();
            learnt.check_times(&mut verdict, ("db", Some("1")), times(5), true);
            learnt.check_times(&mut verdict, ("db", None), times(second), written);
            assert_eq!(verdict.differences.len(), expected, "{second} {written}: {verdict}");
        }
    }

    #[test]
    fn a_list_of_versions_is_whole_and_ordered() {
        for (listed, expected) in [(vec!["1", "2"], 0), (vec!["1"], 1), (vec!["2", "1"], 1), (vec!["1", "3"], 1)] {
            let mut learnt = Learnt::default();
            let mut verdict = Verdict::default();
            for version in ["2", "1"] {
                learnt.check_times(&mut verdict, ("db", Some(version)), Times { created: 5, updated: 5 }, true);
            }
            for version in &listed {
                learnt.list(&mut verdict, "db", version);
            }
            learnt.end_list(&mut verdict, "db");
            assert_eq!(verdict.differences.len(), expected, "{listed:?}: {verdict}");
        }
    }
}
