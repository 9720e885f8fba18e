//! What a path means, in any case.

use percent_encoding::percent_decode_str;

use super::kind::Kind;
use super::place::Place;

/// What a path means. Text is as the path has it, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Endpoints,
    Tenants,
    Subscriptions,
    Subscription(String),
    Locations(String),
    Groups(String),
    Group {
        subscription: String,
        group: String,
    },
    /// Every resource of a subscription, or of a group.
    Resources {
        subscription: String,
        group: Option<String>,
    },
    Providers(String),
    Provider {
        subscription: String,
        namespace: String,
    },
    Registration {
        subscription: String,
        namespace: String,
        verb: String,
    },
    /// The state or the result of an operation: its last segment.
    Operation {
        subscription: String,
        id: String,
    },
    CheckVaultName(String),
    CheckStorageName(String),
    DeletedVaults(String),
    DeletedVault {
        subscription: String,
        location: String,
        name: String,
    },
    PurgeVault {
        subscription: String,
        location: String,
        name: String,
    },
    Resource(Place),
    /// Every resource of a type: of a subscription, of a group, or (the place, less the last name) of a resource.
    Collection {
        kind: Kind,
        subscription: String,
        group: Option<String>,
        names: Vec<String>,
    },
    AccessPolicies {
        vault: Place,
        verb: String,
    },
    RoleAssignments {
        scope: String,
    },
    RoleAssignment {
        scope: String,
        name: String,
    },
    /// What the caller itself may do.
    Permissions {
        scope: String,
    },
    RoleDefinitions {
        scope: String,
    },
    RoleDefinition {
        scope: String,
        name: String,
    },
    DiagnosticSettings {
        scope: String,
    },
    DiagnosticSetting {
        scope: String,
        name: String,
    },
}

impl Target {
    /// Reads a path without its query.
    pub(crate) fn of(path: &str) -> Option<Target> {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8().map(String::from))
            .collect::<Result<_, _>>()
            .ok()?;
        let lower: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        extension(&segments, &lower).or_else(|| plain(&segments, &lower))
    }

    /// The subscription that it is in.
    pub(crate) fn subscription(&self) -> Option<&str> {
        match self {
            Target::Endpoints | Target::Tenants | Target::Subscriptions => None,
            Target::Subscription(subscription)
            | Target::Locations(subscription)
            | Target::Groups(subscription)
            | Target::Group { subscription, .. }
            | Target::Resources { subscription, .. }
            | Target::Providers(subscription)
            | Target::Provider { subscription, .. }
            | Target::Registration { subscription, .. }
            | Target::Operation { subscription, .. }
            | Target::CheckVaultName(subscription)
            | Target::CheckStorageName(subscription)
            | Target::DeletedVaults(subscription)
            | Target::DeletedVault { subscription, .. }
            | Target::PurgeVault { subscription, .. }
            | Target::Collection { subscription, .. } => Some(subscription),
            Target::Resource(place) | Target::AccessPolicies { vault: place, .. } => Some(&place.subscription),
            Target::RoleAssignments { scope }
            | Target::RoleAssignment { scope, .. }
            | Target::Permissions { scope }
            | Target::RoleDefinitions { scope }
            | Target::RoleDefinition { scope, .. }
            | Target::DiagnosticSettings { scope }
            | Target::DiagnosticSetting { scope, .. } => subscription_of(scope),
        }
    }
}

/// The subscription that a scope names.
pub(crate) fn subscription_of(scope: &str) -> Option<&str> {
    let mut segments = scope.split('/').filter(|segment| !segment.is_empty());
    let first = segments.next()?;
    first.eq_ignore_ascii_case("subscriptions").then(|| segments.next()).flatten()
}

/// What hangs on any scope: role assignments, role definitions, diagnostic settings.
fn extension(segments: &[String], lower: &[&str]) -> Option<Target> {
    let at = lower.iter().rposition(|segment| *segment == "providers")?;
    let scope = || segments[..at].iter().flat_map(|segment| ["/", segment]).collect::<String>();
    let name = |index: usize| segments[at + index].clone();
    match lower[at + 1..] {
        ["microsoft.authorization", "roleassignments"] => Some(Target::RoleAssignments { scope: scope() }),
        ["microsoft.authorization", "roleassignments", _] => {
            Some(Target::RoleAssignment { scope: scope(), name: name(3) })
        }
        ["microsoft.authorization", "permissions"] => Some(Target::Permissions { scope: scope() }),
        ["microsoft.authorization", "roledefinitions"] => Some(Target::RoleDefinitions { scope: scope() }),
        ["microsoft.authorization", "roledefinitions", _] => {
            Some(Target::RoleDefinition { scope: scope(), name: name(3) })
        }
        ["microsoft.insights", "diagnosticsettings"] => Some(Target::DiagnosticSettings { scope: scope() }),
        ["microsoft.insights", "diagnosticsettings", _] => {
            Some(Target::DiagnosticSetting { scope: scope(), name: name(3) })
        }
        _ => None,
    }
}

fn plain(segments: &[String], lower: &[&str]) -> Option<Target> {
    match lower {
        ["metadata", "endpoints"] => return Some(Target::Endpoints),
        ["tenants"] => return Some(Target::Tenants),
        ["subscriptions"] => return Some(Target::Subscriptions),
        ["subscriptions", _, ..] => {}
        _ => return None,
    }
    let subscription = segments[1].clone();
    let text = |index: usize| segments[index].clone();
    let target = match lower[2..] {
        [] => Target::Subscription(subscription),
        ["locations"] => Target::Locations(subscription),
        ["resources"] => Target::Resources { subscription, group: None },
        ["resourcegroups"] => Target::Groups(subscription),
        ["resourcegroups", _] => Target::Group { subscription, group: text(3) },
        ["resourcegroups", _, "resources"] => Target::Resources { subscription, group: Some(text(3)) },
        ["operationresults", _] => Target::Operation { subscription, id: text(3) },
        ["providers"] => Target::Providers(subscription),
        ["providers", _] => Target::Provider { subscription, namespace: text(3) },
        ["providers", _, "register" | "unregister"] => {
            Target::Registration { subscription, namespace: text(3), verb: lower[4].to_string() }
        }
        ["providers", "microsoft.keyvault", "checknameavailability"] => Target::CheckVaultName(subscription),
        ["providers", "microsoft.storage", "checknameavailability"] => Target::CheckStorageName(subscription),
        ["providers", "microsoft.keyvault", "deletedvaults"] => Target::DeletedVaults(subscription),
        ["providers", "microsoft.keyvault", "locations", _, "deletedvaults", _] => {
            Target::DeletedVault { subscription, location: text(5), name: text(7) }
        }
        ["providers", "microsoft.keyvault", "locations", _, "deletedvaults", _, "purge"] => {
            Target::PurgeVault { subscription, location: text(5), name: text(7) }
        }
        ["providers", _, "locations", _, _, _] => Target::Operation { subscription, id: text(7) },
        ["providers", ..] => {
            let (kind, names) = typed(&segments[3..], &lower[3..])?;
            (names.len() < kind.words().len()).then_some(())?;
            Target::Collection { kind, subscription, group: None, names }
        }
        ["resourcegroups", _, "providers", ..] => in_group(segments, lower)?,
        _ => return None,
    };
    Some(target)
}

fn in_group(segments: &[String], lower: &[&str]) -> Option<Target> {
    let (subscription, group) = (segments[1].clone(), segments[3].clone());
    if let [rest @ .., "accesspolicies", verb] = lower {
        let (kind, names) = typed(&segments[5..rest.len()], &rest[5..])?;
        let vault = Place { kind, subscription, group, names };
        return (kind == Kind::Vault).then(|| Target::AccessPolicies { vault, verb: (*verb).to_string() });
    }
    let (kind, names) = typed(&segments[5..], &lower[5..])?;
    if names.len() == kind.words().len() {
        return Some(Target::Resource(Place { kind, subscription, group, names }));
    }
    Some(Target::Collection { kind, subscription, group: Some(group), names })
}

/// The type and the names of `namespace/type/name/type/name`; the last name may be absent.
fn typed(segments: &[String], lower: &[&str]) -> Option<(Kind, Vec<String>)> {
    let namespace = lower.first()?;
    let words: Vec<&str> = lower[1..].iter().step_by(2).copied().collect();
    let names = segments.iter().skip(2).step_by(2).cloned().collect();
    let kind = Kind::ALL.into_iter().find(|kind| {
        let own = kind.words();
        kind.namespace().eq_ignore_ascii_case(namespace)
            && own.len() == words.len()
            && own.iter().zip(&words).all(|(own, word)| own.eq_ignore_ascii_case(word))
    })?;
    Some((kind, names))
}

#[cfg(test)]
mod tests;
