//! Resource Manager: the subscription, its resource groups and resources, and who may manage them.

mod answer;
mod call;
mod component;
mod compute;
mod diagnostic_setting;
mod group;
mod identity;
mod kind;
mod log_workspace;
mod operation;
mod permission;
mod place;
mod provider;
mod refusal;
mod resources;
mod right;
mod role_assignment;
mod role_definition;
pub mod seed;
mod seeding;
mod signature;
mod storage;
mod store;
mod subscription;
mod target;
#[cfg(test)]
mod tests;
mod vault;
mod virtual_machine;
mod workspace;

use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::{Method, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::answer::Answer;
pub(crate) use self::call::{ArmRequest, World};
use self::call::{Call, Query, base};
use self::refusal::Refusal;
use self::seed::{ArmSeed, SubscriptionSeed, Times};
use self::signature::Signer;
use self::store::Store;
use self::target::Target;
use crate::directory::{Caller, TokenProblem};
use crate::role;

/// The host that production clients ask.
pub(crate) const HOST: &str = "management.azure.com";

/// The audiences of its tokens; a slash at the end makes no difference.
const AUDIENCES: [&str; 2] = ["https://management.azure.com", "https://management.core.windows.net"];

/// What of Resource Manager is kept over a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    store: Store,
    signer: String,
}

impl Kept {
    /// Whether a vault of this name was deleted: a seed that declares it is not to bring it back.
    pub(crate) fn has_removed(&self, vault: &str) -> bool {
        self.store.removed_vaults.contains(&vault.to_ascii_lowercase())
    }
}

/// Resource Manager.
#[derive(Debug)]
pub(crate) struct ResourceManager {
    // A std Mutex, because no section that holds it waits for anything. Vaults, role assignments and the directory
    // have locks of their own, which are only ever taken after this one.
    store: Mutex<Store>,
    times: Times,
    signer: Signer,
}

impl ResourceManager {
    /// Takes up what was kept, or makes what the seed declares.
    pub(crate) fn new(
        (subscription, times): (&SubscriptionSeed, &ArmSeed),
        kept: Option<Kept>,
        world: &World<'_>,
    ) -> ResourceManager {
        let (mut store, signer) = match kept {
            Some(Kept { store, signer }) => (store, Some(signer)),
            None => (seeding::store(subscription, world), None),
        };
        let times = Times::from(times);
        store.principals_take = times.principals;
        // Those that the seed has gained since the state was written.
        seeding::adopt_vaults(&mut store, world);
        identity::enrol_all(&store, world);
        ResourceManager { store: Mutex::new(store), times, signer: Signer::new(signer) }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `new` takes to be the same again.
    pub(crate) fn kept(&self) -> Kept {
        Kept { store: self.lock().clone(), signer: self.signer.text() }
    }

    /// Completes the deletions whose time has come.
    pub(crate) fn settle(&self, world: &World<'_>) {
        group::settle(&mut self.lock(), world);
    }

    /// Answers a request, with every header that the service sends.
    pub(crate) fn answer(&self, request: &ArmRequest<'_>, world: World<'_>) -> Response<Vec<u8>> {
        let answer = self.decide(request, world).unwrap_or_else(Refusal::answer);
        answer.respond(request.method, request.client_request_id, world.now)
    }

    fn decide(&self, request: &ArmRequest<'_>, world: World<'_>) -> Result<Answer, Refusal> {
        let target = Target::of(request.path);
        let base = base(request.authority);
        if target == Some(Target::Endpoints) {
            return Ok(subscription::endpoints(&base));
        }
        let caller = authenticate(request, &base, &world)?;
        let query = Query::parse(request.query);
        let api_version = query.value("api-version");
        let given = api_version.ok_or_else(|| Refusal::api_version(None))?;
        let api_version = is_api_version(given).then(|| given.to_string());
        let api_version = api_version.ok_or_else(|| Refusal::api_version(Some(given)))?;
        let target = target.ok_or_else(|| Refusal::no_such_path(request.path))?;
        let mut store = self.lock();
        if let Some(subscription) = target.subscription()
            && subscription.parse() != Ok(store.subscription)
        {
            return Err(Refusal::subscription_not_found(subscription));
        }
        authorize(caller, &target, request.method, &world)?;
        let ArmRequest { method, path, body, .. } = *request;
        let (times, signer) = (&self.times, &self.signer);
        let call = Call { method, path, query, api_version, body, caller, base, world, times, signer };
        perform(&call, target, &mut store, request.query)
    }
}

/// Checks the token against every audience that the service goes by, its own address included.
fn authenticate(request: &ArmRequest<'_>, base: &str, world: &World<'_>) -> Result<Caller, Refusal> {
    let given = request.authorization.and_then(|value| value.split_once(' ')).ok_or_else(Refusal::missing_token)?;
    let (scheme, token) = given;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::missing_token());
    }
    let mut problem = None;
    for audience in AUDIENCES.into_iter().chain([base]) {
        match world.directory.verify(token.trim(), audience, world.now) {
            Ok(caller) => return Ok(caller),
            Err(TokenProblem::Audience { found }) => problem = Some(TokenProblem::Audience { found }),
            Err(other) => return Err(Refusal::token(&other, world.directory.tenant())),
        }
    }
    Err(Refusal::token(&problem.unwrap_or(TokenProblem::Malformed), world.directory.tenant()))
}

fn authorize(caller: Caller, target: &Target, method: &Method, world: &World<'_>) -> Result<(), Refusal> {
    let Some((action, scope)) = target.right(method) else {
        return Ok(());
    };
    let grants = |id| role::grants_action(id, &action);
    let permitted = world.assignments.permitting((caller.object_id, &scope), grants, world.now);
    permitted.map(|_| ()).ok_or_else(|| Refusal::not_permitted(caller, &action, &scope))
}

/// Whether it is a date, with or without `-preview` and its like.
fn is_api_version(text: &str) -> bool {
    let bytes = text.as_bytes();
    let date = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    date && (bytes.len() == 10 || (bytes[10] == b'-' && bytes[11..].iter().all(u8::is_ascii_alphanumeric)))
}

fn perform(call: &Call<'_>, target: Target, store: &mut Store, query: &str) -> Result<Answer, Refusal> {
    match target {
        Target::Endpoints => Ok(subscription::endpoints(&call.base)),
        Target::Tenants => read(call, || subscription::tenants(call)),
        Target::Subscriptions => read(call, || subscription::list(call, store)),
        Target::Subscription(_) => read(call, || subscription::show(call, store)),
        Target::Locations(_) => read(call, || subscription::locations(store)),
        Target::Groups(_) => read(call, || group::list(call, store)),
        Target::Group { group, .. } => group::answer(call, &group, store),
        Target::Resources { group, .. } => resources::list_all(call, store, group.as_deref()),
        Target::Providers(_) => read(call, || provider::list(call, store)),
        Target::Provider { namespace, .. } => provider::show(call, store, &namespace),
        Target::Registration { namespace, verb, .. } => provider::change(call, store, (&namespace, &verb)),
        Target::Operation { id, .. } => store.poll(call, &id, query),
        Target::CheckVaultName(_) => vault::check_name(call, store),
        Target::CheckStorageName(_) => storage::check_availability(call, store),
        Target::DeletedVaults(_) => read(call, || vault::deleted_list(store)),
        Target::DeletedVault { location, name, .. } => vault::deleted(store, (&location, &name)),
        Target::PurgeVault { location, name, .. } => vault::purge(call, store, (&location, &name)),
        Target::Resource(place) => resources::answer(call, &place, store),
        Target::Collection { kind, group, names, .. } => resources::list(call, store, (kind, group.as_deref(), &names)),
        Target::AccessPolicies { vault, verb } => vault::change_policies(call, (&vault, &verb), store),
        Target::RoleAssignments { scope } => role_assignment::list(call, &scope),
        Target::RoleAssignment { scope, name } => role_assignment::answer(call, (&scope, &name), store),
        Target::Permissions { scope } => permission::list(call, &scope, store),
        Target::RoleDefinitions { scope } => role_definition::list(call, &scope),
        Target::RoleDefinition { scope, name } => role_definition::get(call, (&scope, &name)),
        Target::DiagnosticSettings { scope } => diagnostic_setting::list(call, &scope, store),
        Target::DiagnosticSetting { scope, name } => diagnostic_setting::answer(call, (&scope, &name), store),
    }
}

fn read(call: &Call<'_>, answer: impl FnOnce() -> Answer) -> Result<Answer, Refusal> {
    if *call.method == Method::GET { Ok(answer()) } else { Err(Refusal::method_not_allowed(call.method.as_str())) }
}

/// A time as most services write it.
fn written(time: Timestamp) -> String {
    format!("{time:.7}")
}
