"""Makes a vault and a workspace as users of the management clients do, for somebody else to adopt.

The environment is what `keyside-emulator env` prints, and an application with rights on the subscription. With the
argument `rights`, the workspace's identity also gets those that it needs.
"""

import os
import sys
import uuid

from azure.identity import EnvironmentCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient

_SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
_GROUP = "ml-rg"
_PROVIDERS = f"/subscriptions/{_SUBSCRIPTION}/resourceGroups/{_GROUP}/providers"
_VAULT = f"{_PROVIDERS}/Microsoft.KeyVault/vaults/Ml-Kv-Adopted"
_STORAGE = f"{_PROVIDERS}/Microsoft.Storage/storageAccounts/mlstadopted"
_RIGHTS = [
    (_VAULT, "Contributor"),
    (_VAULT, "Key Vault Administrator"),
    (_STORAGE, "Contributor"),
    (_STORAGE, "Storage Blob Data Contributor"),
]
_WEST = {"location": "westeurope"}
_POLLING = {"polling_interval": 0.2}


def _make(credential):
    """Makes everything but the rights. Answers with the principal that the workspace signs in as."""
    resources = ResourceManagementClient(credential, _SUBSCRIPTION)
    vaults = KeyVaultManagementClient(credential, _SUBSCRIPTION).vaults
    storage = StorageManagementClient(credential, _SUBSCRIPTION).storage_accounts
    learning = MachineLearningServicesMgmtClient(credential, _SUBSCRIPTION).workspaces

    resources.resource_groups.create_or_update(_GROUP, _WEST)
    properties = {"tenantId": os.environ["AZURE_TENANT_ID"], "sku": {"family": "A", "name": "standard"}}
    vault = _WEST | {"properties": properties | {"enableRbacAuthorization": True}}
    vaults.begin_create_or_update(_GROUP, "Ml-Kv-Adopted", vault, **_POLLING).result()
    account = _WEST | {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    storage.begin_create(_GROUP, "mlstadopted", account, **_POLLING).result()

    def generic(path, version, body):
        resources.resources.begin_create_or_update_by_id(path, body, api_version=version, **_POLLING).result()

    logs = f"{_PROVIDERS}/Microsoft.OperationalInsights/workspaces/ml-logs"
    generic(logs, "2023-09-01", _WEST | {"properties": {"sku": {"name": "PerGB2018"}}})
    insights = f"{_PROVIDERS}/Microsoft.Insights/components/ml-insights"
    linked = {"Application_Type": "web", "WorkspaceResourceId": logs}
    generic(insights, "2020-02-02", _WEST | {"kind": "web", "properties": linked})
    workspace = learning.models.Workspace(
        location="westeurope",
        identity=learning.models.Identity(type="SystemAssigned"),
        key_vault=_VAULT,
        storage_account=_STORAGE,
        application_insights=insights,
    )
    made = learning.begin_create_or_update(_GROUP, "ml-ml", workspace, **_POLLING).result()
    return made.identity.principal_id


def _grant(credential, principal):
    """Gives `principal` its rights, in assignments whose names mean nothing."""
    client = AuthorizationManagementClient(credential, _SUBSCRIPTION)
    for scope, name in _RIGHTS:
        (role,) = client.role_definitions.list(scope, filter=f"roleName eq '{name}'")
        body = {"role_definition_id": role.id, "principal_id": principal, "principal_type": "ServicePrincipal"}
        client.role_assignments.create(scope, str(uuid.uuid4()), body)


def main():
    credential = EnvironmentCredential()
    principal = _make(credential)
    if "rights" in sys.argv[1:]:
        _grant(credential, principal)


if __name__ == "__main__":
    main()
