//! Role assignments, on any scope: they decide in vaults and in Resource Manager itself.

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, object_of, text};
use super::kind::Kind;
use super::place::Place;
use super::refusal::Refusal;
use super::resources::demanded;
use super::store::Store;
use super::target::{Target, subscription_of};
use super::{vault, written};
use crate::role::{self, RoleAssignment};
use crate::vault::milliseconds_after;

/// Answers a request about one role assignment.
pub(crate) fn answer(call: &Call<'_>, (scope, name): (&str, &str), store: &Store) -> Result<Answer, Refusal> {
    let found = || {
        let named = |one: &RoleAssignment| name.parse() == Ok(one.id) && one.scope.eq_ignore_ascii_case(scope);
        call.world.assignments.standing().into_iter().find(named)
    };
    match *call.method {
        Method::GET => match found() {
            Some(assignment) => Ok(Answer::ok(show(&assignment, Moment::Later))),
            None => Err(not_found(name)),
        },
        Method::PUT => put(call, (scope, name), store),
        Method::DELETE => {
            let Some(assignment) = found() else {
                return Ok(Answer::empty(StatusCode::NO_CONTENT));
            };
            let acts_until = milliseconds_after(call.now(), delay(call, scope));
            let _removed = call.world.assignments.remove(|one| one.id == assignment.id, acts_until);
            Ok(Answer::ok(show(&assignment, Moment::Later)))
        }
        _ => Err(Refusal::method_not_allowed(call.method.as_str())),
    }
}

fn not_found(name: &str) -> Refusal {
    Refusal::provider(
        StatusCode::NOT_FOUND,
        "RoleAssignmentNotFound",
        format!("The role assignment '{name}' is not found."),
    )
}

fn put(call: &Call<'_>, (scope, name): (&str, &str), store: &Store) -> Result<Answer, Refusal> {
    let id: Uuid = name.parse().map_err(|_| {
        Refusal::provider(
            StatusCode::BAD_REQUEST,
            "InvalidRoleAssignmentId",
            format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."),
        )
    })?;
    let properties = object_of(&call.object()?, "properties");
    let (role, principal) = (role_of(&properties)?, principal_of(&properties)?);
    check_scope(call, scope, store)?;
    let standing = call.world.assignments.standing();
    let same =
        |one: &RoleAssignment| one.principal == principal && one.role == role && one.scope.eq_ignore_ascii_case(scope);
    if let Some(existing) = standing.iter().find(|one| one.id == id) {
        if same(existing) {
            return Ok(Answer::ok(show(existing, Moment::Later)));
        }
        return Err(Refusal::provider(
            StatusCode::BAD_REQUEST,
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        ));
    }
    if let Some(existing) = standing.iter().find(|one| same(one)) {
        return Err(Refusal::provider(
            StatusCode::CONFLICT,
            "RoleAssignmentExists",
            format!(
                "The role assignment already exists. The ID of the existing role assignment is {}.",
                existing.id.simple()
            ),
        ));
    }
    let known = call.world.directory.principal_type(principal, call.now());
    let known = known.ok_or_else(|| principal_not_found(call, principal))?;
    if let Some(given) = text(&properties, "principalType").filter(|given| !given.eq_ignore_ascii_case(known)) {
        return Err(Refusal::provider(
            StatusCode::BAD_REQUEST,
            "UnmatchedPrincipalType",
            format!(
                "The PrincipalId '{}' has type '{known}' , which is different from specified PrinciaplType '{given}'.",
                principal.simple()
            ),
        ));
    }
    let assignment = RoleAssignment {
        id,
        principal_type: known.into(),
        description: text(&properties, "description").map(str::to_string),
        created: call.now(),
        created_by: Some(call.caller.object_id),
        ..RoleAssignment::given(principal, role, scope.into(), milliseconds_after(call.now(), delay(call, scope)))
    };
    let answer = Answer::json(StatusCode::CREATED, show(&assignment, Moment::Creation));
    call.world.assignments.add(assignment);
    Ok(answer)
}

fn role_of(properties: &Map<String, Value>) -> Result<Uuid, Refusal> {
    let given = text(properties, "roleDefinitionId").ok_or_else(|| demanded("properties.roleDefinitionId"))?;
    let id = given.rsplit('/').next().unwrap_or(given);
    let known = Uuid::parse_str(id).ok().and_then(|_| role::find(id));
    known.ok_or_else(|| {
        Refusal::provider(
            StatusCode::NOT_FOUND,
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{id}' does not exist."),
        )
    })
}

fn principal_of(properties: &Map<String, Value>) -> Result<Uuid, Refusal> {
    let given = text(properties, "principalId").ok_or_else(|| demanded("properties.principalId"))?;
    given.parse().map_err(|_| {
        Refusal::provider(
            StatusCode::BAD_REQUEST,
            "InvalidPrincipalId",
            format!("A valid principal ID must be provided for role assignment: '{given}' is none."),
        )
    })
}

/// A new principal is not replicated yet, whatever kind a request says it is of.
fn principal_not_found(call: &Call<'_>, principal: Uuid) -> Refusal {
    Refusal::provider(
        StatusCode::BAD_REQUEST,
        "PrincipalNotFound",
        format!(
            "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are \
             creating this principal and then immediately assigning a role, this error might be related to a replication \
             delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, \
             User, or Group.  See https://aka.ms/docs-principaltype",
            principal.simple(),
            call.world.directory.tenant()
        ),
    )
}

/// Refuses a scope in a group, or on a vault or another resource, that does not exist.
fn check_scope(call: &Call<'_>, scope: &str, store: &Store) -> Result<(), Refusal> {
    match Target::of(scope) {
        Some(Target::Group { group, .. }) => store.group_to_write(&group).map(|_| ()),
        Some(Target::Resource(place)) => check_resource(call, &place, store),
        // One secret of a vault, which need not exist yet.
        _ => match vault_of(scope) {
            Some(vault) => check_resource(call, &vault, store),
            None => Ok(()),
        },
    }
}

fn check_resource(call: &Call<'_>, place: &Place, store: &Store) -> Result<(), Refusal> {
    store.group_to_write(&place.group)?;
    match place.kind {
        Kind::Vault if vault::is_there(call.world.vaults, place) => Ok(()),
        Kind::Vault => Err(Refusal::resource_not_found(&place.shown(), &place.group)),
        _ => store.resource(place).map(|_| ()),
    }
}

/// The vault that a scope is, or is a secret of.
fn vault_of(scope: &str) -> Option<Place> {
    let segments: Vec<&str> = scope.split('/').collect();
    let vault = segments.get(..9)?.join("/");
    Place::of_id(&vault).filter(|place| place.kind == Kind::Vault)
}

/// How long a change takes to act: as the vault says, where the scope is one.
fn delay(call: &Call<'_>, scope: &str) -> std::time::Duration {
    let vault = vault_of(scope).and_then(|place| call.world.vaults.with(place.name(), |vault| vault.role_changes_take));
    vault.unwrap_or(call.times.role_changes)
}

/// Whether an answer is that of the creation: only then nobody is named as the creator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Creation,
    Later,
}

fn show(assignment: &RoleAssignment, moment: Moment) -> Value {
    let RoleAssignment { id, principal, principal_type, role, scope, description, created, created_by, .. } =
        assignment;
    let subscription = subscription_of(scope).map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
    let created_by = created_by.unwrap_or_default();
    let created = written(*created);
    json!({
        "properties": {
            "roleDefinitionId": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
            "principalId": principal,
            "principalType": principal_type,
            "scope": scope,
            "condition": null,
            "conditionVersion": null,
            "createdOn": created,
            "updatedOn": created,
            "createdBy": if moment == Moment::Creation { Value::Null } else { created_by.to_string().into() },
            "updatedBy": created_by.to_string(),
            "delegatedManagedIdentityResourceId": null,
            "description": description,
        },
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{id}"),
        "type": "Microsoft.Authorization/roleAssignments",
        "name": id,
    })
}

/// Lists what acts on a scope (`atScope()`), and without that filter what lies below it too.
pub(crate) fn list(call: &Call<'_>, scope: &str) -> Result<Answer, Refusal> {
    if *call.method != Method::GET {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    let filter = call.query.value("$filter").unwrap_or_default();
    let lower = filter.to_ascii_lowercase();
    let principal = if lower.contains("principalid eq") || lower.contains("assignedto(") {
        let quoted = filter.split('\'').nth(1).and_then(|id| id.parse::<Uuid>().ok());
        Some(quoted.ok_or_else(|| Refusal::bad_request(format!("The filter '{filter}' is not supported.")))?)
    } else if filter.is_empty() || lower.contains("atscope()") {
        None
    } else {
        return Err(Refusal::bad_request(format!("The filter '{filter}' is not supported.")));
    };
    let below = RoleAssignment::given(Uuid::nil(), Uuid::nil(), scope.into(), 0);
    let listed = call.world.assignments.standing().into_iter().filter(|one| {
        let within = !lower.contains("atscope()") && below.reaches(&one.scope);
        (one.reaches(scope) || within) && principal.is_none_or(|principal| one.principal == principal)
    });
    Ok(Answer::list(listed.map(|one| show(&one, Moment::Later)).collect()))
}
