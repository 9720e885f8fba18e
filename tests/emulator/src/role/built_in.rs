//! The table of built-in roles: names, ids and actions as Azure's list has them
//! (learn.microsoft.com/azure/role-based-access-control/built-in-roles), as far as a vault and its surroundings go.

use uuid::{Uuid, uuid};

use super::Role;

/// What the roles of Key Vault's data plane may do on the resource itself.
const READ_KEY_VAULTS: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.Insights/alertRules/*",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Support/*",
    "Microsoft.KeyVault/checkNameAvailability/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/*/read",
    "Microsoft.KeyVault/vaults/*/read",
    "Microsoft.KeyVault/vaults/read",
    "Microsoft.KeyVault/operations/read",
];

const fn on_resources(name: &'static str, id: Uuid, actions: &'static [&'static str]) -> Role {
    Role { name, id, actions, not_actions: &[], data_actions: &[] }
}

const fn of_key_vault(name: &'static str, id: Uuid, data_actions: &'static [&'static str]) -> Role {
    Role { name, id, actions: READ_KEY_VAULTS, not_actions: &[], data_actions }
}

pub(super) const BUILT_IN: [Role; 23] = [
    on_resources("Owner", uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"), &["*"]),
    Role {
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
        ..on_resources("Contributor", uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"), &["*"])
    },
    on_resources("Reader", uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7"), &["*/read"]),
    on_resources(
        "User Access Administrator",
        uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
        &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
    ),
    on_resources(
        "Role Based Access Control Administrator",
        uuid!("f58310d9-a9f6-439a-9e8d-f62e7b41a168"),
        &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
            "Microsoft.Support/*",
        ],
    ),
    of_key_vault(
        "Key Vault Administrator",
        uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483"),
        &["Microsoft.KeyVault/vaults/*"],
    ),
    of_key_vault(
        "Key Vault Secrets Officer",
        uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
        &["Microsoft.KeyVault/vaults/secrets/*"],
    ),
    Role {
        actions: &[],
        ..of_key_vault(
            "Key Vault Secrets User",
            uuid!("4633458b-17de-408a-b874-0445c86b69e6"),
            &[
                "Microsoft.KeyVault/vaults/secrets/getSecret/action",
                "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            ],
        )
    },
    of_key_vault(
        "Key Vault Reader",
        uuid!("21090545-7ca7-4776-b22c-e363652d74d2"),
        &["Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/secrets/readMetadata/action"],
    ),
    of_key_vault(
        "Key Vault Crypto Officer",
        uuid!("14b46e9e-c2b7-41b4-b07b-48a6ebf60603"),
        &["Microsoft.KeyVault/vaults/keys/*"],
    ),
    of_key_vault(
        "Key Vault Certificates Officer",
        uuid!("a4417e6f-fecd-4de8-b567-7b0420556985"),
        &["Microsoft.KeyVault/vaults/certificates/*"],
    ),
    Role {
        actions: &[],
        ..of_key_vault(
            "Key Vault Certificate User",
            uuid!("db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"),
            &[
                "Microsoft.KeyVault/vaults/certificates/read",
                "Microsoft.KeyVault/vaults/secrets/getSecret/action",
                "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
                "Microsoft.KeyVault/vaults/keys/read",
            ],
        )
    },
    Role {
        not_actions: &[
            "Microsoft.KeyVault/locations/deletedVaults/purge/action",
            "Microsoft.KeyVault/hsmPools/*",
            "Microsoft.KeyVault/managedHsms/*",
        ],
        ..on_resources(
            "Key Vault Contributor",
            uuid!("f25e0fa2-a7c8-4377-a976-54943a77a395"),
            &[
                "Microsoft.Authorization/*/read",
                "Microsoft.Insights/alertRules/*",
                "Microsoft.KeyVault/*",
                "Microsoft.Resources/deployments/*",
                "Microsoft.Resources/subscriptions/resourceGroups/read",
                "Microsoft.Support/*",
            ],
        )
    },
    on_resources(
        "Key Vault Purge Operator",
        uuid!("a68e7c17-0ab2-4c09-9a58-125dae29748c"),
        &[
            "Microsoft.KeyVault/deletedVaults/read",
            "Microsoft.KeyVault/locations/deletedVaults/read",
            "Microsoft.KeyVault/locations/deletedVaults/purge/action",
            "Microsoft.KeyVault/locations/operationResults/read",
        ],
    ),
    on_resources(
        "Key Vault Data Access Administrator",
        uuid!("8b54135c-b56d-4d72-a534-26097cfdc8d8"),
        &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.KeyVault/vaults/*/read",
            "Microsoft.KeyVault/vaults/read",
            "Microsoft.Support/*",
        ],
    ),
    Role {
        not_actions: &[
            "Microsoft.MachineLearningServices/workspaces/delete",
            "Microsoft.MachineLearningServices/workspaces/write",
            "Microsoft.MachineLearningServices/workspaces/computes/*/write",
            "Microsoft.MachineLearningServices/workspaces/computes/*/delete",
            "Microsoft.MachineLearningServices/workspaces/listKeys/action",
        ],
        ..on_resources(
            "AzureML Data Scientist",
            uuid!("f6c7c914-8db3-469d-8ca1-694a8f32e121"),
            &[
                "Microsoft.MachineLearningServices/workspaces/*/read",
                "Microsoft.MachineLearningServices/workspaces/*/action",
                "Microsoft.MachineLearningServices/workspaces/*/delete",
                "Microsoft.MachineLearningServices/workspaces/*/write",
            ],
        )
    },
    on_resources(
        "Storage Account Contributor",
        uuid!("17d1049b-9a84-46fb-8f53-869881c3d3ab"),
        &["Microsoft.Authorization/*/read", "Microsoft.Storage/storageAccounts/*"],
    ),
    storage_data(
        "Storage Blob Data Contributor",
        uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
        &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
    ),
    storage_data(
        "Storage Blob Data Reader",
        uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
        &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
    ),
    storage_data(
        "Storage Queue Data Message Processor",
        uuid!("8a0f0c08-91a1-4084-bc3d-661d67233fed"),
        &[
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/read",
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/process/action",
        ],
    ),
    on_resources(
        "Log Analytics Contributor",
        uuid!("92aaf0da-9dab-42b6-94a3-d43ce8d16293"),
        &[
            "*/read",
            "Microsoft.Insights/diagnosticSettings/*",
            "Microsoft.OperationalInsights/*",
            "Microsoft.Resources/deployments/*",
        ],
    ),
    on_resources(
        "Managed Identity Operator",
        uuid!("f1a07417-d97a-45cb-824c-7a7467783830"),
        &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
            "Microsoft.Authorization/*/read",
        ],
    ),
    on_resources(
        "Managed Identity Contributor",
        uuid!("e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"),
        &["Microsoft.ManagedIdentity/userAssignedIdentities/*", "Microsoft.Authorization/*/read"],
    ),
];

const fn storage_data(name: &'static str, id: Uuid, data_actions: &'static [&'static str]) -> Role {
    Role { name, id, actions: &[], not_actions: &[], data_actions }
}
