//! The managed identities: those of the seed, and those that Resource Manager makes while the emulator runs.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use uuid::Uuid;

use super::seed::{Application, FederatedCredential, IdentityKind, ManagedIdentity};
use super::{DirectoryError, Registration, SelectionProblem, Selector};
use crate::directory::key::Keyring;

/// Whether a machine hands out an identity's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// It is assigned to a machine.
    Attached,
    /// It exists, and no machine has it.
    Detached,
}

/// An identity that Resource Manager has made.
#[derive(Debug, Clone)]
pub(crate) struct Enrolment {
    pub(crate) identity: ManagedIdentity,
    pub(crate) attachment: Attachment,
    /// Unix milliseconds from which role assignments can name it.
    pub(crate) known_from: i64,
    pub(crate) federated_credentials: Vec<FederatedCredential>,
}

struct Entry {
    identity: Arc<ManagedIdentity>,
    attachment: Attachment,
    known_from: i64,
    registration: Option<Arc<Registration>>,
}

/// Every managed identity.
pub(crate) struct Identities {
    // A std RwLock, because no section that holds it waits for anything.
    entries: RwLock<Vec<Entry>>,
}

impl Identities {
    pub(super) fn new(seeded: Vec<ManagedIdentity>) -> Identities {
        let entry = |identity| Entry {
            identity: Arc::new(identity),
            attachment: Attachment::Attached,
            known_from: i64::MIN,
            registration: None,
        };
        Identities { entries: RwLock::new(seeded.into_iter().map(entry).collect()) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an identity, or replaces what is known of it.
    pub(super) fn enrol(&self, enrolment: Enrolment, keys: &Keyring) -> Result<(), DirectoryError> {
        let Enrolment { identity, attachment, known_from, federated_credentials } = enrolment;
        let registration = if federated_credentials.is_empty() {
            None
        } else {
            let application = Application {
                app_id: identity.client_id,
                object_id: identity.object_id,
                secrets: Vec::new(),
                certificate: None,
                federated_credentials,
            };
            Some(Arc::new(Registration::read(application, keys)?))
        };
        let mut entries = self.write();
        entries.retain(|entry| entry.identity.object_id != identity.object_id);
        entries.push(Entry { identity: Arc::new(identity), attachment, known_from, registration });
        Ok(())
    }

    /// Forgets the identity of this object id.
    pub(crate) fn strike(&self, object_id: Uuid) {
        self.write().retain(|entry| entry.identity.object_id != object_id);
    }

    /// Every identity of the seed or of later that has a resource id.
    pub(crate) fn with_resource_id(&self) -> Vec<Arc<ManagedIdentity>> {
        let entries = self.read();
        entries.iter().map(|entry| &entry.identity).filter(|one| one.resource_id.is_some()).cloned().collect()
    }

    pub(super) fn with_object_id(&self, object_id: Uuid) -> Option<Arc<ManagedIdentity>> {
        let entries = self.read();
        entries.iter().map(|entry| &entry.identity).find(|one| one.object_id == object_id).cloned()
    }

    pub(super) fn registration(&self, client_id: Uuid) -> Option<Arc<Registration>> {
        self.read().iter().find(|entry| entry.identity.client_id == client_id)?.registration.clone()
    }

    pub(super) fn knows(&self, object_id: Uuid, now: Timestamp) -> bool {
        let known = |entry: &Entry| entry.identity.object_id == object_id && entry.known_from <= now.as_millisecond();
        self.read().iter().any(known)
    }

    /// The identity that a request to a machine means, of those that machines have.
    pub(super) fn select(&self, selector: &Selector) -> Result<Arc<ManagedIdentity>, SelectionProblem> {
        let entries = self.read();
        let attached: Vec<&Arc<ManagedIdentity>> = entries
            .iter()
            .filter(|entry| entry.attachment == Attachment::Attached)
            .map(|entry| &entry.identity)
            .collect();
        let named = |test: &dyn Fn(&ManagedIdentity) -> bool| {
            let found = attached.iter().find(|identity| test(identity));
            found.map(|identity| Arc::clone(identity)).ok_or(SelectionProblem::Unknown)
        };
        match selector {
            Selector::Default => default_identity(&attached),
            Selector::ClientId(id) => named(&|identity| is_id(identity.client_id, id)),
            Selector::ObjectId(id) => named(&|identity| is_id(identity.object_id, id)),
            Selector::ResourceId(id) => {
                named(&|identity| identity.resource_id.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(id)))
            }
        }
    }
}

fn default_identity(attached: &[&Arc<ManagedIdentity>]) -> Result<Arc<ManagedIdentity>, SelectionProblem> {
    let own = attached.iter().find(|identity| identity.kind == IdentityKind::SystemAssigned);
    match (own, attached) {
        (Some(own), _) => Ok(Arc::clone(own)),
        (None, [only]) => Ok(Arc::clone(only)),
        (None, []) => Err(SelectionProblem::Unknown),
        (None, _) => Err(SelectionProblem::Ambiguous),
    }
}

fn is_id(id: Uuid, text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|parsed| parsed == id)
}
