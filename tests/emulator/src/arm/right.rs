//! Which right a request needs, in Azure's names of actions.

use hyper::Method;

use super::target::{Target, subscription_of};

impl Target {
    /// The action and the scope that a caller needs a role for; none where a token is enough.
    pub(crate) fn right(&self, method: &Method) -> Option<(String, String)> {
        let verb = match *method {
            Method::GET | Method::HEAD => "read",
            Method::DELETE => "delete",
            Method::POST => "action",
            _ => "write",
        };
        let scope = self.scope()?;
        let action = match self {
            // Whoever may do nothing may know that, too.
            Target::Endpoints
            | Target::Tenants
            | Target::Subscriptions
            | Target::Operation { .. }
            | Target::Permissions { .. } => return None,
            // Whoever asks without a scope may know the built-in roles.
            Target::RoleDefinitions { scope } | Target::RoleDefinition { scope, .. }
                if subscription_of(scope).is_none() =>
            {
                return None;
            }
            Target::Subscription(_) | Target::Locations(_) => "Microsoft.Resources/subscriptions/read".into(),
            Target::Groups(_) | Target::Group { .. } => {
                format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}")
            }
            Target::Resources { .. } => "Microsoft.Resources/subscriptions/resources/read".into(),
            Target::Providers(_) | Target::Provider { .. } => "Microsoft.Resources/subscriptions/providers/read".into(),
            Target::Registration { namespace, verb, .. } => format!("{namespace}/{verb}/action"),
            Target::CheckVaultName(_) => "Microsoft.KeyVault/checkNameAvailability/read".into(),
            Target::CheckStorageName(_) => "Microsoft.Storage/checknameavailability/read".into(),
            Target::DeletedVaults(_) => "Microsoft.KeyVault/deletedVaults/read".into(),
            Target::DeletedVault { .. } => "Microsoft.KeyVault/locations/deletedVaults/read".into(),
            Target::PurgeVault { .. } => "Microsoft.KeyVault/locations/deletedVaults/purge/action".into(),
            Target::Resource(place) => format!("{}/{verb}", place.kind.type_name()),
            Target::Collection { kind, .. } => format!("{}/{verb}", kind.type_name()),
            Target::AccessPolicies { .. } => "Microsoft.KeyVault/vaults/accessPolicies/write".into(),
            Target::RoleAssignments { .. } | Target::RoleAssignment { .. } => {
                format!("Microsoft.Authorization/roleAssignments/{verb}")
            }
            Target::RoleDefinitions { .. } | Target::RoleDefinition { .. } => {
                format!("Microsoft.Authorization/roleDefinitions/{verb}")
            }
            Target::DiagnosticSettings { .. } | Target::DiagnosticSetting { .. } => {
                format!("Microsoft.Insights/diagnosticSettings/{verb}")
            }
        };
        Some((action, scope))
    }

    /// What a role must reach.
    fn scope(&self) -> Option<String> {
        let group = match self {
            Target::Resource(place) | Target::AccessPolicies { vault: place, .. } => return Some(place.id()),
            Target::RoleAssignments { scope }
            | Target::RoleAssignment { scope, .. }
            | Target::Permissions { scope }
            | Target::RoleDefinitions { scope }
            | Target::RoleDefinition { scope, .. }
            | Target::DiagnosticSettings { scope }
            | Target::DiagnosticSetting { scope, .. } => return Some(scope.clone()),
            Target::Group { group, .. } => Some(group),
            Target::Resources { group, .. } | Target::Collection { group, .. } => group.as_ref(),
            _ => None,
        };
        let subscription = self.subscription()?;
        Some(match group {
            None => format!("/subscriptions/{subscription}"),
            Some(group) => format!("/subscriptions/{subscription}/resourceGroups/{group}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: &str = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.KeyVault/vaults/KV";

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
}
