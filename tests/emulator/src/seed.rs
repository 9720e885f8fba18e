//! The seed file: who exists and what is in the vaults when the emulator starts.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use thiserror::Error;

use crate::arm::seed::{ArmSeed, SubscriptionSeed};
use crate::directory::DirectorySeed;
use crate::vault::seed::VaultSeed;

/// The commented example, which is what an emulator without a seed starts from.
const EXAMPLE: &str = include_str!("../seed.example.toml");

/// Everything that exists at the start.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seed {
    /// The address that firewalls and network headers take every caller's for; the real one where none is named.
    pub client_address: Option<IpAddr>,
    /// Tenant, applications, managed identities.
    pub directory: DirectorySeed,
    /// The vaults. The first one also answers on the emulator's own address.
    pub vaults: Vec<VaultSeed>,
    /// The subscription that Resource Manager has, and who may manage it.
    pub subscription: SubscriptionSeed,
    /// How long Resource Manager's work takes.
    pub arm: ArmSeed,
}

/// Why a seed cannot be used.
#[derive(Debug, Error)]
pub enum SeedError {
    /// The file cannot be read.
    #[error("could not read seed {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is no TOML, or not of a seed's shape.
    #[error("line {line} of the seed: {message}")]
    Shape {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The text is of a seed's shape, but what it says cannot be.
    #[error("the seed cannot be: {}", .0.join("; "))]
    Content(Vec<String>),
}

impl Seed {
    /// The commented example that comes with the emulator.
    ///
    /// # Panics
    /// Never: a test loads it.
    #[must_use]
    pub fn example() -> Seed {
        Seed::parse(EXAMPLE).expect("a test loads the example")
    }

    /// Reads and checks a seed file.
    ///
    /// # Errors
    /// Every kind of [`SeedError`].
    pub fn load(path: &Path) -> Result<Seed, SeedError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| SeedError::Unreadable { path: path.display().to_string(), source })?;
        Seed::parse(&text)
    }

    /// Reads and checks a seed's text.
    ///
    /// # Errors
    /// `Shape` and `Content`. Neither quotes a line, because lines hold values.
    pub fn parse(text: &str) -> Result<Seed, SeedError> {
        let seed: Seed = toml::from_str(text).map_err(|error| SeedError::Shape {
            line: error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1),
            message: error.message().to_string(),
        })?;
        let problems = seed.problems();
        if problems.is_empty() { Ok(seed) } else { Err(SeedError::Content(problems)) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.vaults.iter().flat_map(VaultSeed::problems).collect();
        problems.extend(self.subscription.problems());
        let mut names = BTreeSet::new();
        for vault in &self.vaults {
            if !names.insert(vault.name.to_ascii_lowercase()) {
                problems.push(format!("vault \"{}\" is declared twice", vault.name));
            }
        }
        problems
    }
}

/// A length of time, written as `"2s"`, `"500ms"` or `"1h 30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Delay(Duration);

impl std::str::FromStr for Delay {
    type Err = NotADelay;

    fn from_str(text: &str) -> Result<Delay, NotADelay> {
        let parsed: Option<SignedDuration> = text.parse().ok();
        let delay = parsed.and_then(|delay| Duration::try_from(delay).ok());
        delay.map(Delay).ok_or_else(|| NotADelay(text.to_string()))
    }
}

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is no length of time such as \"2s\" or \"1h 30m\"")]
pub struct NotADelay(String);

impl TryFrom<String> for Delay {
    type Error = NotADelay;

    fn try_from(text: String) -> Result<Delay, NotADelay> {
        text.parse()
    }
}

impl From<Delay> for Duration {
    fn from(Delay(duration): Delay) -> Duration {
        duration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_loads_and_shows_every_section() {
        let seed = Seed::example();
        assert!(!seed.directory.applications.is_empty());
        assert!(!seed.directory.managed_identities.is_empty());
        assert!(seed.vaults.iter().any(|vault| !vault.role_assignments.is_empty()));
        assert!(seed.vaults.iter().any(|vault| !vault.access_policies.is_empty()));
        assert!(seed.vaults.iter().any(|vault| !vault.firewall.ip_rules.is_empty()));
        assert!(seed.vaults.iter().any(|vault| vault.throttle.is_some()));
        assert!(!seed.subscription.role_assignments.is_empty());
        assert!(!seed.subscription.virtual_machines.is_empty() && !seed.subscription.computes.is_empty());
    }

    #[test]
    fn what_a_seed_cannot_say_is_refused_with_its_line() {
        let rows = [
            ("colour = 1\n", 1, "unknown field `colour`"),
            ("\n[[vaults]]\nname = \"kv1\"\ncolour = 1\n", 4, "unknown field `colour`"),
            ("[directory]\ncolour = 1\n", 2, "unknown field `colour`"),
            (
                "[[vaults]]\nname = \"kv1\"\n[vaults.firewall]\nip_rules = [\"10/8\"]\n",
                4,
                "neither an address nor a range",
            ),
            ("[[vaults]]\nname = \"kv1\"\ndelete_takes = \"soon\"\n", 3, "no length of time"),
            ("[[vaults]]\nname = \"kv1\"\nauthorization = \"magic\"\n", 3, "unknown variant `magic`"),
            ("[[vaults]]\nlocation = \"x\"\n", 1, "missing field `name`"),
            ("name =\n", 1, ""),
            ("[subscription]\ncolour = 1\n", 2, "unknown field `colour`"),
            ("[arm]\nvault_takes = \"soon\"\n", 2, "no length of time"),
        ];
        for (text, expected, part) in rows {
            let Err(SeedError::Shape { line, message }) = Seed::parse(text) else {
                panic!("accepted: {text}");
            };
            assert!(line == expected && message.contains(part), "line {line}: {message} for {text}");
        }
    }

    #[test]
    fn all_impossible_things_are_told_at_once() {
        let text = r#"
            [[vaults]]
            name = "1-bad"
            soft_delete_days = 5
            role_assignments = [{ principal = "00000000-0000-0000-0000-000000000001", role = "Wizard" }]
            access_policies = [{ principal = "00000000-0000-0000-0000-000000000001", secrets = ["get"] }]
            secrets = [{ name = "a_b", value = "x" }, { name = "db", value = "x" }, { name = "DB", value = "y" }]
            [[vaults]]
            name = "1-BAD"
            authorization = "access-policies"
            [subscription]
            registered_providers = ["Microsoft.Spoons"]
            [[subscription.role_assignments]]
            principal = "00000000-0000-0000-0000-000000000001"
            role = "Emperor"
        "#;
        let Err(SeedError::Content(problems)) = Seed::parse(text) else {
            panic!("accepted");
        };
        let all = problems.join("\n");
        for part in [
            "3 to 24 letters",
            "7 to 90",
            "Wizard",
            "access_policies mean nothing",
            "\"a_b\" is no name",
            "\"DB\" is declared twice",
            "\"1-BAD\" is declared twice",
            "Emperor",
            "Microsoft.Spoons",
        ] {
            assert!(all.contains(part), "{part} in:\n{all}");
        }
    }
}
