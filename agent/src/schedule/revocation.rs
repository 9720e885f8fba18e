//! Whether a vault that refuses a secret has taken it away: from its answers over time to a verdict.
//!
//! Only answers about the secret itself count. An outage neither confirms nor clears anything.

use std::time::Duration;

/// How far apart the two answers must be by which a secret is gone. A vault that was just restored, or that answers from a
/// replica, is right again within seconds.
pub const CONFIRM_AFTER: Duration = Duration::from_secs(10);

/// Which kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The secret is disabled, or does not exist.
    Gone,
    /// The identity may not read it. Role assignments take minutes to act, in both directions
    /// (<https://learn.microsoft.com/azure/role-based-access-control/troubleshooting>).
    Denied,
}

/// What follows from the answers so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The last good value stays.
    Keep {
        /// After which time one more answer like this revokes it.
        ripens_in: Duration,
    },
    /// It has been taken away.
    Revoked,
}

/// An unbroken row of refusals of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    kind: Kind,
    since: Duration,
}

impl Case {
    /// The case after a refusal at `now`. A row of another kind ends: who is told that there is no such secret is let in
    /// again, and who is no longer let in cannot confirm what was said before.
    #[must_use]
    pub fn heard(before: Option<Self>, kind: Kind, now: Duration) -> Self {
        before.filter(|case| case.kind == kind).unwrap_or(Self { kind, since: now })
    }

    /// The verdict at `now`, the time of the refusal that was heard last. `revoke_after` is how long denials must go on.
    #[must_use]
    pub fn verdict(&self, revoke_after: Duration, now: Duration) -> Verdict {
        let span = match self.kind {
            Kind::Gone => CONFIRM_AFTER,
            Kind::Denied => revoke_after,
        };
        match (self.since + span).saturating_sub(now) {
            Duration::ZERO => Verdict::Revoked,
            ripens_in => Verdict::Keep { ripens_in },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVOKE_AFTER: Duration = Duration::from_mins(15);

    /// A refusal of a kind, a good answer, or an outage, which is not heard of here.
    enum Answer {
        Refused(Kind),
        Good,
        Outage,
    }
    use Answer::{Good, Outage, Refused};

    const GONE: Answer = Refused(Kind::Gone);
    const DENIED: Answer = Refused(Kind::Denied);

    /// What it is, the answers by the second in which they came, and whether they revoke.
    type Row<'a> = (&'a str, &'a [(u64, Answer)], bool);

    fn is_revoked(answers: &[(u64, Answer)]) -> bool {
        let (mut case, mut revoked) = (None, false);
        for (second, answer) in answers {
            let now = Duration::from_secs(*second);
            match answer {
                Refused(kind) => {
                    let heard = Case::heard(case, *kind, now);
                    revoked |= heard.verdict(REVOKE_AFTER, now) == Verdict::Revoked;
                    case = Some(heard);
                }
                Good => case = None,
                Outage => {}
            }
        }
        revoked
    }

    #[test]
    fn refusals_over_time_have_their_verdict() {
        let rows: [Row<'_>; 13] = [
            ("gone once", &[(0, GONE)], false),
            ("gone twice", &[(0, GONE), (10, GONE)], true),
            ("gone twice at nearly the same time", &[(0, GONE), (9, GONE)], false),
            ("gone, good, gone", &[(0, GONE), (10, Good), (20, GONE)], false),
            ("gone, an outage, gone", &[(0, GONE), (10, Outage), (20, GONE)], true),
            ("gone and an outage", &[(0, GONE), (3_600, Outage)], false),
            ("denied for too short", &[(0, DENIED), (120, DENIED), (899, DENIED)], false),
            ("denied for long", &[(0, DENIED), (120, DENIED), (900, DENIED)], true),
            ("denied, good, denied", &[(0, DENIED), (600, Good), (700, DENIED), (1_500, DENIED)], false),
            ("denied, an outage, denied", &[(0, DENIED), (60, Outage), (900, DENIED)], true),
            ("gone, then denied", &[(0, GONE), (20, DENIED)], false),
            ("denied, then gone", &[(0, DENIED), (900, GONE)], false),
            ("denied between two that say gone", &[(0, GONE), (10, DENIED), (20, GONE)], false),
        ];
        for (row, answers, expected) in rows {
            assert_eq!(is_revoked(answers), expected, "{row}");
        }
    }

    #[test]
    fn a_case_says_when_one_more_answer_decides() {
        let case = Case::heard(None, Kind::Denied, Duration::from_secs(100));
        let keep = case.verdict(REVOKE_AFTER, Duration::from_secs(160));
        assert_eq!(keep, Verdict::Keep { ripens_in: Duration::from_mins(14) });
    }
}
