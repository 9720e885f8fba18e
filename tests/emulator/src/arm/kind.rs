//! The types of resources that live in resource groups.

use serde::{Deserialize, Serialize};

/// A type of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Vault,
    StorageAccount,
    LogWorkspace,
    Component,
    Workspace,
    Compute,
    Identity,
    FederatedCredential,
    VirtualMachine,
}

impl Kind {
    pub(crate) const ALL: [Kind; 9] = [
        Kind::Vault,
        Kind::StorageAccount,
        Kind::LogWorkspace,
        Kind::Component,
        Kind::Workspace,
        Kind::Compute,
        Kind::Identity,
        Kind::FederatedCredential,
        Kind::VirtualMachine,
    ];

    /// The provider's namespace, as ids carry it.
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Kind::Vault => "Microsoft.KeyVault",
            Kind::StorageAccount => "Microsoft.Storage",
            Kind::LogWorkspace => "Microsoft.OperationalInsights",
            // In lower case, in ids and in types.
            Kind::Component => "microsoft.insights",
            Kind::Workspace | Kind::Compute => "Microsoft.MachineLearningServices",
            Kind::Identity | Kind::FederatedCredential => "Microsoft.ManagedIdentity",
            Kind::VirtualMachine => "Microsoft.Compute",
        }
    }

    /// The type's words within the namespace, a name belonging to each.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Kind::Vault => &["vaults"],
            Kind::StorageAccount => &["storageAccounts"],
            Kind::LogWorkspace | Kind::Workspace => &["workspaces"],
            Kind::Compute => &["workspaces", "computes"],
            Kind::Component => &["components"],
            Kind::Identity => &["userAssignedIdentities"],
            Kind::FederatedCredential => &["userAssignedIdentities", "federatedIdentityCredentials"],
            Kind::VirtualMachine => &["virtualMachines"],
        }
    }

    /// The whole type, such as `Microsoft.KeyVault/vaults`.
    pub(crate) fn type_name(self) -> String {
        format!("{}/{}", self.namespace(), self.words().join("/"))
    }

    /// Whether it lives within another resource.
    pub(crate) fn is_nested(self) -> bool {
        self.words().len() > 1
    }
}
