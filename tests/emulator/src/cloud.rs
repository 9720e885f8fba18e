//! Everything that the emulator plays, in one place, and what of it is kept over a restart.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::arm::{ResourceManager, World};
use crate::certificates::Authority;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::emulator::StartError;
use crate::fault::Faults;
use crate::request_log::RequestLog;
use crate::role::RoleAssignments;
use crate::seed::Seed;
use crate::state::{State, StateError};
use crate::vault::Vaults;

/// One emulated cloud.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) clock: Clock,
    pub(crate) authority: Authority,
    pub(crate) directory: Arc<Directory>,
    pub(crate) vaults: Vaults,
    pub(crate) assignments: RoleAssignments,
    pub(crate) resource_manager: ResourceManager,
    pub(crate) faults: Faults,
    pub(crate) requests: RequestLog,
    /// The address that firewalls take every caller's for.
    pub(crate) client_address: Option<IpAddr>,
    /// Where the state is kept. Locked while it is written, so that writers do not overtake each other.
    state_file: Option<Mutex<PathBuf>>,
}

impl Cloud {
    /// Makes the cloud of `seed`, and takes up what `state_file` kept of an earlier one: its keys, its clock and
    /// its vaults. The seed then adds the vaults that the state does not know and that were not deleted.
    pub(crate) fn new(seed: Seed, state_file: Option<PathBuf>) -> Result<Cloud, StartError> {
        let kept = state_file.as_deref().map(State::load).transpose()?.flatten();
        let clock = kept.as_ref().map_or_else(Clock::new, |state| Clock::ahead_by(state.clock_offset_milliseconds));
        let authority = match &kept {
            Some(state) => Authority::from_key_pem(&state.authority_key_pem)?,
            None => Authority::new()?,
        };
        let keys = kept.as_ref().map(|state| state.directory_keys_pem.as_str());
        let directory = Arc::new(Directory::new(seed.directory, keys)?);
        let (mut vaults, assignments, managed) = match kept {
            Some(state) => (state.vaults, state.assignments, Some(state.resource_manager)),
            None => Default::default(),
        };
        let assignments = RoleAssignments::new(assignments);
        for seeded in seed.vaults {
            let removed = managed.as_ref().is_some_and(|kept| kept.has_removed(&seeded.name));
            if !removed && !vaults.iter().any(|vault| vault.name.eq_ignore_ascii_case(&seeded.name)) {
                vaults.push(seeded.build(&assignments, clock.now()));
            }
        }
        let vaults = Vaults::new(vaults, assignments.clone());
        let world = World { directory: &directory, vaults: &vaults, assignments: &assignments, now: clock.now() };
        let resource_manager = ResourceManager::new((&seed.subscription, &seed.arm), managed, &world);
        let cloud = Cloud {
            clock,
            authority,
            directory,
            vaults,
            assignments,
            resource_manager,
            faults: Faults::default(),
            requests: RequestLog::default(),
            client_address: seed.client_address,
            state_file: state_file.map(Mutex::new),
        };
        cloud.save()?;
        Ok(cloud)
    }

    /// What Resource Manager works with, now.
    pub(crate) fn world(&self) -> World<'_> {
        World {
            directory: &self.directory,
            vaults: &self.vaults,
            assignments: &self.assignments,
            now: self.clock.now(),
        }
    }

    /// Writes the state, where it is kept.
    pub(crate) fn save(&self) -> Result<(), StateError> {
        let Some(file) = &self.state_file else {
            return Ok(());
        };
        let path = file.lock().unwrap_or_else(PoisonError::into_inner);
        let state = State {
            clock_offset_milliseconds: self.clock.offset_milliseconds(),
            authority_key_pem: self.authority.key_pem(),
            directory_keys_pem: self.directory.keys_pem(),
            vaults: self.vaults.snapshot(),
            assignments: self.assignments.snapshot(),
            resource_manager: self.resource_manager.kept(),
        };
        state.save(&path)
    }

    /// Writes the state after a change that has been answered for already: a failure can only be told.
    pub(crate) fn save_or_warn(&self) {
        if let Err(error) = self.save() {
            tracing::warn!(error = &error as &dyn std::error::Error, "state is not kept");
        }
    }
}
