//! What a path means, in any case, and which right a request to it needs.

use hyper::Method;
use percent_encoding::percent_decode_str;

use super::kind::Kind;

/// One resource, as a path names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) subscription: String,
    pub(crate) group: String,
    /// Its name, after those of the resources that it lives in.
    pub(crate) names: Vec<String>,
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// Its id, in the case of the path.
    pub(crate) fn id(&self) -> String {
        let words = self.kind.words().iter().zip(&self.names);
        let path: String = words.flat_map(|(word, name)| ["/", word, "/", name]).collect();
        let group = format!("/subscriptions/{}/resourceGroups/{}", self.subscription, self.group);
        format!("{group}/providers/{}{path}", self.kind.namespace())
    }

    /// What ids are compared by.
    pub(crate) fn key(&self) -> String {
        self.id().to_ascii_lowercase()
    }

    /// Type and name as errors show them.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.kind.type_name(), self.names.join("/"))
    }

    /// The resource that it lives in.
    pub(crate) fn parent(&self) -> Option<Place> {
        let kind = match self.kind {
            Kind::Compute => Kind::Workspace,
            Kind::FederatedCredential => Kind::Identity,
            _ => return None,
        };
        let names = self.names[..1].to_vec();
        Some(Place { kind, subscription: self.subscription.clone(), group: self.group.clone(), names })
    }

    /// The resource that an id names.
    pub(crate) fn of_id(id: &str) -> Option<Place> {
        match Target::of(id)? {
            Target::Resource(place) => Some(place),
            _ => None,
        }
    }
}

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
            | Target::DeletedVaults(subscription)
            | Target::DeletedVault { subscription, .. }
            | Target::PurgeVault { subscription, .. }
            | Target::Collection { subscription, .. } => Some(subscription),
            Target::Resource(place) | Target::AccessPolicies { vault: place, .. } => Some(&place.subscription),
            Target::RoleAssignments { scope }
            | Target::RoleAssignment { scope, .. }
            | Target::RoleDefinitions { scope }
            | Target::RoleDefinition { scope, .. }
            | Target::DiagnosticSettings { scope }
            | Target::DiagnosticSetting { scope, .. } => subscription_of(scope),
        }
    }

    /// The action and the scope that a caller needs a role for; none where a token is enough.
    pub(crate) fn right(&self, method: &Method) -> Option<(String, String)> {
        let verb = match *method {
            Method::GET | Method::HEAD => "read",
            Method::DELETE => "delete",
            Method::POST => "action",
            _ => "write",
        };
        let in_subscription = |subscription: &str| format!("/subscriptions/{subscription}");
        let in_group =
            |subscription: &str, group: &str| format!("/subscriptions/{subscription}/resourceGroups/{group}");
        let (action, scope) = match self {
            Target::Endpoints | Target::Tenants | Target::Subscriptions | Target::Operation { .. } => return None,
            Target::Subscription(subscription) | Target::Locations(subscription) => {
                ("Microsoft.Resources/subscriptions/read".to_string(), in_subscription(subscription))
            }
            Target::Groups(subscription) => {
                (format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}"), in_subscription(subscription))
            }
            Target::Group { subscription, group } => {
                (format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}"), in_group(subscription, group))
            }
            Target::Resources { subscription, group } => (
                "Microsoft.Resources/subscriptions/resources/read".to_string(),
                group.as_ref().map_or_else(|| in_subscription(subscription), |group| in_group(subscription, group)),
            ),
            Target::Providers(subscription) | Target::Provider { subscription, .. } => {
                ("Microsoft.Resources/subscriptions/providers/read".to_string(), in_subscription(subscription))
            }
            Target::Registration { subscription, namespace, verb } => {
                (format!("{namespace}/{verb}/action"), in_subscription(subscription))
            }
            Target::CheckVaultName(subscription) => {
                ("Microsoft.KeyVault/checkNameAvailability/read".to_string(), in_subscription(subscription))
            }
            Target::DeletedVaults(subscription) => {
                ("Microsoft.KeyVault/deletedVaults/read".to_string(), in_subscription(subscription))
            }
            Target::DeletedVault { subscription, .. } => {
                ("Microsoft.KeyVault/locations/deletedVaults/read".to_string(), in_subscription(subscription))
            }
            Target::PurgeVault { subscription, .. } => {
                ("Microsoft.KeyVault/locations/deletedVaults/purge/action".to_string(), in_subscription(subscription))
            }
            Target::Resource(place) => (format!("{}/{verb}", place.kind.type_name()), place.id()),
            Target::Collection { kind, subscription, group, .. } => (
                format!("{}/{verb}", kind.type_name()),
                group.as_ref().map_or_else(|| in_subscription(subscription), |group| in_group(subscription, group)),
            ),
            Target::AccessPolicies { vault, .. } => {
                ("Microsoft.KeyVault/vaults/accessPolicies/write".to_string(), vault.id())
            }
            Target::RoleAssignments { scope } | Target::RoleAssignment { scope, .. } => {
                (format!("Microsoft.Authorization/roleAssignments/{verb}"), scope.clone())
            }
            Target::RoleDefinitions { scope } | Target::RoleDefinition { scope, .. } => {
                // Whoever asks without a scope may know the built-in roles.
                subscription_of(scope)?;
                (format!("Microsoft.Authorization/roleDefinitions/{verb}"), scope.clone())
            }
            Target::DiagnosticSettings { scope } | Target::DiagnosticSetting { scope, .. } => {
                (format!("Microsoft.Insights/diagnosticSettings/{verb}"), scope.clone())
            }
        };
        Some((action, scope))
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
mod tests {
    use super::*;

    const VAULT: &str = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.KeyVault/vaults/KV";

    fn place(kind: Kind, names: &[&str]) -> Place {
        let names = names.iter().map(ToString::to_string).collect();
        Place { kind, subscription: "s".into(), group: "RG".into(), names }
    }

    #[test]
    fn paths_mean_the_same_in_any_case() {
        let workspace = "/providers/Microsoft.MachineLearningServices/workspaces";
        let rows = [
            (VAULT.to_string(), Some(Target::Resource(place(Kind::Vault, &["KV"])))),
            (
                VAULT.replace("resourceGroups", "resourcegroups").replace("Key", "key"),
                Some(Target::Resource(place(Kind::Vault, &["KV"]))),
            ),
            (
                format!("{VAULT}/accessPolicies/ADD"),
                Some(Target::AccessPolicies { vault: place(Kind::Vault, &["KV"]), verb: "add".into() }),
            ),
            (
                format!("/subscriptions/s/resourceGroups/RG{workspace}/w/computes/c"),
                Some(Target::Resource(place(Kind::Compute, &["w", "c"]))),
            ),
            (
                format!("/subscriptions/s{workspace}/"),
                Some(Target::Collection {
                    kind: Kind::Workspace,
                    subscription: "s".into(),
                    group: None,
                    names: Vec::new(),
                }),
            ),
            (
                format!("{VAULT}/providers/Microsoft.Authorization/roleAssignments/a"),
                Some(Target::RoleAssignment { scope: VAULT.into(), name: "a".into() }),
            ),
            (
                "/providers/Microsoft.Authorization/roleDefinitions".into(),
                Some(Target::RoleDefinitions { scope: String::new() }),
            ),
            ("/subscriptions/s/providers/Microsoft.KeyVault/vaults/kv".into(), None),
            ("/subscriptions/s/resourceGroups/RG/providers/Microsoft.KeyVault/spoons/kv".into(), None),
            ("/secrets/db".into(), None),
            ("/".into(), None),
        ];
        for (path, expected) in rows {
            assert_eq!(Target::of(&path), expected, "{path}");
        }
    }

    #[test]
    fn rights_are_named_as_azure_names_them() {
        let rows = [
            ("GET", VAULT, Some("Microsoft.KeyVault/vaults/read")),
            ("PUT", VAULT, Some("Microsoft.KeyVault/vaults/write")),
            ("PATCH", VAULT, Some("Microsoft.KeyVault/vaults/write")),
            ("DELETE", VAULT, Some("Microsoft.KeyVault/vaults/delete")),
            (
                "HEAD",
                "/subscriptions/s/resourceGroups/RG",
                Some("Microsoft.Resources/subscriptions/resourceGroups/read"),
            ),
            (
                "POST",
                "/subscriptions/s/providers/Microsoft.Storage/register",
                Some("Microsoft.Storage/register/action"),
            ),
            (
                "POST",
                "/subscriptions/s/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kv/purge",
                Some("Microsoft.KeyVault/locations/deletedVaults/purge/action"),
            ),
            ("GET", "/subscriptions", None),
            ("GET", "/metadata/endpoints", None),
        ];
        for (method, path, expected) in rows {
            let right = Target::of(path).unwrap().right(&method.parse().unwrap());
            assert_eq!(right.as_ref().map(|(action, _)| action.as_str()), expected, "{method} {path}");
        }
    }

    #[test]
    fn an_id_leads_back_to_its_resource() {
        for kind in Kind::ALL {
            let names: &[&str] = if kind.is_nested() { &["outer", "inner"] } else { &["only"] };
            let place = place(kind, names);
            assert_eq!(Place::of_id(&place.id()), Some(place));
        }
    }
}
