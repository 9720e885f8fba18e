//! What a simulation is of: how many agents with which configuration, and what happens to the vault meanwhile.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use keyside::config::{Config, Defaults};
use keyside::principal::SystemAccounts;

/// How long a vault counts requests together.
/// Source: <https://learn.microsoft.com/azure/key-vault/general/service-limits>
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

/// How many requests a vault grants in a window.
/// Source: the same page, "Secrets, managed storage account keys, and vault transactions".
pub(crate) const GRANTED: u32 = 4_000;

/// How many agents there are.
pub(crate) const AGENTS: u32 = 10_000;

/// How many secrets each of them keeps fresh, all the same ones. They fit in one page of a list.
pub(crate) const SECRETS: usize = 20;

/// Whether agents may list the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// They may.
    Vault,
    /// Their role is for single secrets.
    Secrets,
}

/// A simulation whose picture is in docs/operations.md.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// What its picture is called.
    pub(crate) name: &'static str,
    /// What is above it.
    pub(crate) title: &'static str,
    /// What agents may ask.
    pub(crate) role: Role,
    /// Their `poll_interval`.
    pub(crate) interval: &'static str,
}

/// All of them.
pub(crate) const SCENES: [Scene; 3] = [LISTS, FETCHES, TOO_MANY];

/// The role is for the vault, and the configuration has every default.
pub(crate) const LISTS: Scene = Scene {
    name: "fleet-lists",
    title: "10,000 agents that list the vault every 2 minutes",
    role: Role::Vault,
    interval: "2m",
};

/// The role is for single secrets, and agents look as often as all of them may.
pub(crate) const FETCHES: Scene = Scene {
    name: "fleet-fetches",
    title: "10,000 agents that fetch each of 20 secrets every 10 minutes",
    role: Role::Secrets,
    interval: "10m",
};

/// The role is for single secrets, and agents would look four times as often as the vault can bear.
pub(crate) const TOO_MANY: Scene = Scene {
    name: "fleet-too-many",
    title: "10,000 agents that would fetch each of 20 secrets every 2 minutes",
    role: Role::Secrets,
    interval: "2m",
};

/// How a simulation goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    /// How many agents there are. They all start at once.
    pub(crate) agents: u32,
    /// How many requests the vault grants in a [`WINDOW`].
    pub(crate) granted: u32,
    /// What agents may ask.
    pub(crate) role: Role,
    /// Their `poll_interval`.
    pub(crate) interval: &'static str,
    /// When one secret gets a new version.
    pub(crate) rotations: Vec<Duration>,
    /// When the vault answers nothing but 503.
    pub(crate) outage: Range<Duration>,
    /// When it ends.
    pub(crate) end: Duration,
}

impl Course {
    /// An hour and a half of a fleet: a start, a rotation in quiet times, and an outage with another rotation in it.
    pub(crate) fn of(scene: Scene) -> Self {
        let (Scene { role, interval, .. }, minute) = (scene, Duration::from_mins);
        Self {
            agents: AGENTS,
            granted: GRANTED,
            role,
            interval,
            rotations: vec![minute(30), minute(50)],
            outage: minute(45)..minute(55),
            end: minute(90),
        }
    }

    /// The configuration of each agent, by the agent's own rules and defaults.
    pub(crate) fn config(&self) -> Config {
        let mut text = format!(
            "readers = ['uid:1000']\n[vault]\nurl = 'https://fleet.vault.azure.net'\n[rotation]\npoll_interval = '{}'\n",
            self.interval
        );
        for number in 0..SECRETS {
            writeln!(text, "[[secret]]\nname = 'secret-{number}'").expect("a text takes everything");
        }
        let defaults = Defaults::of_service(990, Path::new("/run/keyside/agent.sock"));
        Config::parse(&text, &SystemAccounts, defaults).expect("a configuration that fits")
    }
}
