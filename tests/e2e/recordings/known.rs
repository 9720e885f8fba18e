//! The differences between recordings that Azure itself has made since, each with its reason.

use crate::cassette::Recorder;

/// A difference that is right: the emulator answers as Azure does today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    ChallengeHost,
    ConnectionType,
    MissingTokenText,
    SecretNotFoundText,
    ValueAfterId,
    NameTakenText,
    NewerMembers,
}

impl Known {
    pub(crate) const ALL: [Known; 7] = [
        Known::ChallengeHost,
        Known::ConnectionType,
        Known::MissingTokenText,
        Known::SecretNotFoundText,
        Known::ValueAfterId,
        Known::NameTakenText,
        Known::NewerMembers,
    ];

    /// The letter by which a table refers to it.
    pub(crate) fn letter(self) -> char {
        match self {
            Known::ChallengeHost => 'a',
            Known::ConnectionType => 'b',
            Known::MissingTokenText => 'c',
            Known::SecretNotFoundText => 'd',
            Known::ValueAfterId => 'e',
            Known::NameTakenText => 'f',
            Known::NewerMembers => 'g',
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Known::ChallengeHost => {
                "WWW-Authenticate names login.windows.net in 2019, login.microsoftonline.com in 2026: the newer form is answered"
            }
            Known::ConnectionType => {
                "x-ms-keyvault-network-info has no conn_type in 2019, and has it since 2025: the newer form is answered"
            }
            Known::MissingTokenText => {
                "a 401 says \"Request is missing a Bearer or PoP token.\" in 2019, AKV10000 in 2026: the newer text is answered"
            }
            Known::SecretNotFoundText => {
                "a 404 says \"Secret not found: NAME\" in 2019, \"A secret with (name/id) NAME was not found\" in 2026: the newer text is answered"
            }
            Known::ValueAfterId => {
                "the recording of the Rust SDK has id before value in the answer to a set; those of 2019 and of 2026 have value first, as is answered"
            }
            Known::NameTakenText => {
                "the text for a vault's name that is taken has \"globaly\" in 2021, and other words at its end in 2023: the newer text is answered"
            }
            Known::NewerMembers => {
                "members that management services have added to their answers since 2021, such as systemData: they are answered"
            }
        }
    }

    /// The difference that explains why a recorded error text is not the live one; none explains any other pair.
    pub(crate) fn of_texts(taken_by: Recorder, recorded: &str, live: &str) -> Option<Known> {
        if taken_by != Recorder::Vcr {
            return None;
        }
        if recorded == "Request is missing a Bearer or PoP token." {
            let newer = "AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token.";
            return (live == newer).then_some(Known::MissingTokenText);
        }
        if recorded.starts_with("The vault name '") && recorded.contains("globaly unique") {
            let shared = recorded.split(" is already in use. ").next()?;
            return live
                .starts_with(&format!("{shared} is already in use. Vault names are globally unique"))
                .then_some(Known::NameTakenText);
        }
        let name = recorded.strip_prefix("Secret not found: ")?;
        let newer = format!(
            "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you \
             may be able to recover it using the correct recovery command. For help resolving this issue, please see \
             https://go.microsoft.com/fwlink/?linkid=2125182"
        );
        (live == newer).then_some(Known::SecretNotFoundText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_text_is_explained_for_old_recordings_and_for_the_same_name_alone() {
        let newer = |name: &str| {
            format!(
                "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
            )
        };
        let rows = [
            (Recorder::Vcr, "Secret not found: db", newer("db"), Some(Known::SecretNotFoundText)),
            (Recorder::Vcr, "Secret not found: db", newer("other"), None),
            (Recorder::TestProxy, "Secret not found: db", newer("db"), None),
            (Recorder::Vcr, "Deleted Secret not found: db", newer("db"), None),
            (
                Recorder::Vcr,
                "Request is missing a Bearer or PoP token.",
                "AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token.".to_owned(),
                Some(Known::MissingTokenText),
            ),
        ];
        for (recorder, recorded, live, expected) in rows {
            assert_eq!(Known::of_texts(recorder, recorded, &live), expected, "{recorded} against {live}");
        }
    }

    #[test]
    fn every_difference_has_a_letter_of_its_own() {
        let letters: std::collections::BTreeSet<char> = Known::ALL.into_iter().map(Known::letter).collect();
        assert_eq!(letters.len(), Known::ALL.len());
    }
}
