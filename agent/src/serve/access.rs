//! Who may do what: the rules over a caller and a secret, without any I/O.

use std::collections::BTreeMap;

use super::peer::{Caller, Peer};
use crate::principal::Principal;
use crate::secret::SecretName;

/// What the kernel shows for a user who has no number in the agent's user namespace, so anyone from anywhere.
/// Source: `/proc/sys/kernel/overflowuid`, 65534 on every distribution.
const OVERFLOW_UID: u32 = 65_534;

/// Who may read which secret, and who operates the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// May see every secret's name and state, and may ask for a look at all of them.
    pub operators: Vec<Principal>,
    /// May read the secret. Nobody else may, root and operators included.
    pub readers: BTreeMap<SecretName, Vec<Principal>>,
}

impl Access {
    /// Whether the caller gets the secret's value.
    #[must_use]
    pub(super) fn may_read(&self, caller: &Caller, name: &SecretName) -> bool {
        let readers = self.readers.get(name);
        // Who reads what does not exist is looked for, too, so that the time that it takes tells nothing.
        is_one_of(caller, readers.unwrap_or(&self.operators)) && readers.is_some()
    }

    /// Whether the caller operates the agent.
    #[must_use]
    pub(super) fn is_operator(&self, caller: &Caller) -> bool {
        is_one_of(caller, &self.operators)
    }

    /// Whether the caller may know that the secret exists and how it fares.
    #[must_use]
    pub(super) fn may_see(&self, caller: &Caller, name: &SecretName) -> bool {
        self.may_read(caller, name) || self.is_operator(caller)
    }
}

fn is_one_of(caller: &Caller, principals: &[Principal]) -> bool {
    match caller {
        Caller::Process(peer) => principals.iter().any(|&principal| is(peer, principal)),
        Caller::Network => false,
    }
}

/// The groups of an unknown user prove nothing, so for that one only its number counts.
fn is(peer: &Peer, principal: Principal) -> bool {
    match principal {
        Principal::User(uid) => peer.uid == uid,
        Principal::Group(gid) => peer.uid != OVERFLOW_UID && peer.is_in(gid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::name;

    const TRAINER: u32 = 1001;
    const ML: u32 = 2001;

    fn access() -> Access {
        Access {
            operators: vec![Principal::User(0), Principal::Group(10)],
            readers: BTreeMap::from([
                (name("db"), vec![Principal::User(TRAINER), Principal::Group(ML)]),
                (name("open"), vec![Principal::User(OVERFLOW_UID)]),
                (name("nobody"), vec![]),
            ]),
        }
    }

    fn process(uid: u32, gids: &[u32]) -> Caller {
        let (gid, groups) = gids.split_first().map_or((uid, &[][..]), |(&gid, groups)| (gid, groups));
        Caller::Process(Peer { uid, gid, groups: groups.to_vec(), process: None })
    }

    #[test]
    fn a_secret_is_read_by_its_readers_only() {
        let rows = [
            ("its user", process(TRAINER, &[TRAINER]), "db", true),
            ("its group, primary or not", process(1002, &[1002, ML]), "db", true),
            ("another user", process(1002, &[1002]), "db", false),
            ("root, who is not implied", process(0, &[0]), "db", false),
            ("an operator's group", process(1003, &[10]), "db", false),
            ("a user number as a group", process(1002, &[TRAINER]), "db", false),
            ("an unknown user", process(OVERFLOW_UID, &[OVERFLOW_UID]), "db", false),
            ("an unknown user in its group", process(OVERFLOW_UID, &[ML]), "db", false),
            ("an unknown user, listed", process(OVERFLOW_UID, &[]), "open", true),
            ("the network", Caller::Network, "open", false),
            ("anyone where nobody is listed", process(TRAINER, &[ML]), "nobody", false),
            ("anyone where nothing is", process(TRAINER, &[ML]), "absent", false),
        ];
        for (row, caller, secret, expected) in rows {
            assert_eq!(access().may_read(&caller, &name(secret)), expected, "{row}");
        }
    }

    #[test]
    fn operators_see_every_secret_and_readers_their_own() {
        let rows = [
            ("root", process(0, &[0]), true, true),
            ("the operators' group", process(1003, &[10]), true, true),
            ("an unknown user in it", process(OVERFLOW_UID, &[10]), false, false),
            ("a reader", process(TRAINER, &[]), false, true),
            ("neither", process(1002, &[]), false, false),
            ("the network", Caller::Network, false, false),
        ];
        for (row, caller, operates, sees) in rows {
            assert_eq!(access().is_operator(&caller), operates, "{row}");
            assert_eq!(access().may_see(&caller, &name("db")), sees, "{row}");
        }
    }
}
