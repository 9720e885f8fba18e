//! Paths and what they mean.

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
fn an_id_leads_back_to_its_resource() {
    for kind in Kind::ALL {
        let names: &[&str] = if kind.is_nested() { &["outer", "inner"] } else { &["only"] };
        let place = place(kind, names);
        assert_eq!(Place::of_id(&place.id()), Some(place));
    }
}
