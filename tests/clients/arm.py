"""Resource Manager through the management clients: an estate is made, used, refused, recovered and taken down."""

import time
import uuid

import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ManagedIdentityCredential, WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient

import identities
from identities import FOLDER, TENANT, WITHOUT_RIGHTS
from report import expect, refused

_SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
_SCOPE = f"/subscriptions/{_SUBSCRIPTION}"
_GROUP = "estate"
_PROVIDERS = f"{_SCOPE}/resourceGroups/{_GROUP}/providers"
_VAULT = f"{_PROVIDERS}/Microsoft.KeyVault/vaults/Kv-Estate"
_STORAGE = f"{_PROVIDERS}/Microsoft.Storage/storageAccounts/stestate"
_LOGS = f"{_PROVIDERS}/Microsoft.OperationalInsights/workspaces/la-estate"
_INSIGHTS = f"{_PROVIDERS}/Microsoft.Insights/components/ai-estate"
_AGENT = f"{_PROVIDERS}/Microsoft.ManagedIdentity/userAssignedIdentities/agent"
_SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
_ADMINISTRATOR = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
_OWN_PRINCIPAL = "5f0d6a1c-3f55-4f0e-9a5b-6c1c0b6e1d11"
_POLLING = {"polling_interval": 0.2}

_credential = identities.application()
_resources = ResourceManagementClient(_credential, _SUBSCRIPTION)
_vaults = KeyVaultManagementClient(_credential, _SUBSCRIPTION).vaults
_roles = AuthorizationManagementClient(_credential, _SUBSCRIPTION)
_storage = StorageManagementClient(_credential, _SUBSCRIPTION).storage_accounts
_learning = MachineLearningServicesMgmtClient(_credential, _SUBSCRIPTION).workspaces


def _vault_body(**properties):
    usual = {"tenantId": TENANT, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": True}
    return {"location": "westeurope", "properties": usual | properties}


def _assign(scope, role, principal, name=None):
    body = {
        "role_definition_id": f"{_SCOPE}/providers/Microsoft.Authorization/roleDefinitions/{role}",
        "principal_id": principal,
        "principal_type": "ServicePrincipal",
    }
    return _roles.role_assignments.create(scope, name or str(uuid.uuid4()), body)


def _generic(path, version, body):
    """Makes a resource whose own client is not among those that are tried here."""
    return _resources.resources.begin_create_or_update_by_id(path, body, api_version=version, **_POLLING).result()


def endpoints():
    """The cloud's addresses are told to whoever asks"""
    address = "https://management.azure.com/metadata/endpoints"
    found = requests.get(address, params={"api-version": "2022-09-01"}, timeout=10).json()
    expect(found["suffixes"]["keyVaultDns"], "vault.azure.net")
    return expect(found["resourceManager"], "https://management.azure.com/")


def providers():
    """A provider is registered after a while"""
    expect(_resources.providers.get("Microsoft.Storage").registration_state, "NotRegistered")
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    _resources.resource_groups.create_or_update(_GROUP, {"location": "westeurope"})
    refused(ResourceExistsError, lambda: _storage.begin_create(_GROUP, "stestate", body), "MissingSubscriptionRegistration")
    states = [_resources.providers.register("Microsoft.Storage").registration_state]
    while states[-1] != "Registered":
        time.sleep(0.1)
        states.append(_resources.providers.get("Microsoft.Storage").registration_state)
    return " ".join(dict.fromkeys(states))


def group():
    """A resource group is made, found, tagged and listed"""
    made = _resources.resource_groups.create_or_update(_GROUP, {"location": "westeurope", "tags": {"a": "b"}})
    expect(made.id, f"{_SCOPE}/resourceGroups/{_GROUP}")
    expect(_resources.resource_groups.check_existence(_GROUP), True)
    expect(_resources.resource_groups.check_existence("none"), False)
    expect(_resources.resource_groups.update(_GROUP, {"tags": {"c": "d"}}).tags, {"c": "d"})
    refused(ResourceNotFoundError, lambda: _resources.resource_groups.get("none"), "ResourceGroupNotFound")
    return expect(_GROUP in [found.name for found in _resources.resource_groups.list()], True)


def vault():
    """A vault is made, and its name resolves after a while"""
    name = {"name": "kv-estate", "type": "Microsoft.KeyVault/vaults"}
    expect(_vaults.check_name_availability(name).name_available, True)
    refused(ResourceNotFoundError, lambda: _vaults.get(_GROUP, "kv-estate"), "ResourceNotFound")
    made = _vaults.begin_create_or_update(_GROUP, "Kv-Estate", _vault_body(), **_POLLING).result()
    expect(made.id, _VAULT)
    expect(made.properties.provisioning_state, "Succeeded")
    expect(_vaults.check_name_availability(name).reason, "AlreadyExists")
    expect([found.name for found in _vaults.list_by_resource_group(_GROUP)], ["Kv-Estate"])
    return expect(_vaults.get(_GROUP, "kv-estate").properties.vault_uri, "https://kv-estate.vault.azure.net/")


def role_assignment():
    """A role that is given here acts in the vault"""
    client = SecretClient("https://kv-estate.vault.azure.net", _credential)
    refused(HttpResponseError, lambda: client.set_secret("db", "x"), "ForbiddenByRbac")
    made = _assign(_VAULT, _SECRETS_OFFICER, _OWN_PRINCIPAL)
    expect(client.set_secret("db", "from a new vault").value, "from a new vault")
    again = _assign(_VAULT, _SECRETS_OFFICER, _OWN_PRINCIPAL, made.name)
    expect(again.id, made.id)
    refused(ResourceExistsError, lambda: _assign(_VAULT, _SECRETS_OFFICER, _OWN_PRINCIPAL), "RoleAssignmentExists")
    mine = list(_roles.role_assignments.list_for_scope(_VAULT, filter=f"principalId eq '{_OWN_PRINCIPAL}'"))
    return f"{len(mine)} assignments act there"


def role_definition():
    """A role is found by its name"""
    found = list(_roles.role_definitions.list(_VAULT, filter="roleName eq 'Key Vault Secrets User'"))
    return expect([role.name for role in found], [_SECRETS_USER])


def storage():
    """A storage account is accepted first, and whole later"""
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    made = _storage.begin_create(_GROUP, "stestate", body, **_POLLING).result()
    expect((made.id, made.properties.provisioning_state), (_STORAGE, "Succeeded"))
    taken = lambda: _storage.begin_create("rg", "stestate", body, **_POLLING)  # noqa: E731
    refused(ResourceExistsError, taken, "StorageAccountAlreadyTaken")
    return expect(_storage.get_properties(_GROUP, "stestate").properties.primary_endpoints.blob, "https://stestate.blob.core.windows.net/")


def monitoring():
    """A log workspace and what is linked to it"""
    _generic(_LOGS, "2023-09-01", {"location": "westeurope", "properties": {"sku": {"name": "PerGB2018"}}})
    linked = {"Application_Type": "web", "WorkspaceResourceId": _LOGS}
    made = _generic(_INSIGHTS, "2020-02-02", {"location": "westeurope", "kind": "web", "properties": linked})
    return expect(made.type, "microsoft.insights/components")


def workspace():
    """A workspace demands what it is linked to, and keeps it"""
    models = _learning.models
    identity = models.Identity(type="SystemAssigned")
    links = {"key_vault": _VAULT, "storage_account": _STORAGE, "application_insights": _INSIGHTS}

    def make(**given):
        made = models.Workspace(location="westeurope", identity=identity, **given)
        return _learning.begin_create_or_update(_GROUP, "mlw-estate", made, **_POLLING).result()

    refused(HttpResponseError, make, "Missing dependent resources in workspace json")
    uri = links | {"key_vault": "https://kv-estate.vault.azure.net/"}
    refused(HttpResponseError, lambda: make(**uri), "LinkedInvalidPropertyId")
    made = make(**links)
    expect(made.provisioning_state, "Succeeded")
    expect(made.key_vault, _VAULT.replace("Microsoft.KeyVault", "Microsoft.Keyvault"))
    expect(make(**links).identity.principal_id, made.identity.principal_id)
    other = links | {"key_vault": f"{_SCOPE}/resourceGroups/keyside/providers/Microsoft.KeyVault/vaults/kv-clients"}
    refused(HttpResponseError, lambda: make(**other), "keyVault", "cannot be changed")
    _assign(_VAULT, _ADMINISTRATOR, made.identity.principal_id)
    tagged = _learning.update(_GROUP, "mlw-estate", models.WorkspaceUpdateParameters(tags={"a": "b"}))
    expect(tagged.tags, {"a": "b"})
    return made.identity.principal_id


def agent_identity():
    """A new identity signs in by a federated credential"""
    made = _generic(_AGENT, "2023-01-31", {"location": "westeurope"})
    trust = {
        "issuer": "https://oidc.prod-aks.azure.com/clients/",
        "subject": "system:serviceaccount:default:pipeline",
        "audiences": ["api://AzureADTokenExchange"],
    }
    _generic(f"{_AGENT}/federatedIdentityCredentials/aks", "2023-01-31", {"properties": trust})
    _assign(f"{_VAULT}/secrets/db", _SECRETS_USER, made.properties["principalId"])
    credential = WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=made.properties["clientId"], token_file_path=str(FOLDER / "pipeline.jwt")
    )
    client = SecretClient("https://kv-estate.vault.azure.net", credential)
    refused(HttpResponseError, lambda: list(client.list_properties_of_secrets()), "ForbiddenByRbac")
    return expect(client.get_secret("db").value, "from a new vault")


def firewall():
    """A firewall that is set here shuts the vault"""
    client = SecretClient("https://kv-estate.vault.azure.net", _credential)
    shut = {"properties": {"networkAcls": {"defaultAction": "Deny", "bypass": "AzureServices"}}}
    _vaults.update(_GROUP, "Kv-Estate", shut)
    refused(HttpResponseError, lambda: client.get_secret("db"), "ForbiddenByFirewall")
    _vaults.update(_GROUP, "Kv-Estate", {"properties": {"networkAcls": {"defaultAction": "Allow"}}})
    return expect(client.get_secret("db").value, "from a new vault")


def access_policies():
    """Access policies are added to those that are there"""
    def policy(principal, *rights):
        return {"tenantId": TENANT, "objectId": principal, "permissions": {"secrets": list(rights)}}

    body = _vault_body(enableRbacAuthorization=False, accessPolicies=[policy(_OWN_PRINCIPAL, "get")])
    _vaults.begin_create_or_update(_GROUP, "kv-policies", body, **_POLLING).result()
    client = SecretClient("https://kv-policies.vault.azure.net", _credential)
    refused(HttpResponseError, lambda: client.set_secret("a", "b"), "does not have secrets set permission")
    added = {"properties": {"accessPolicies": [policy(_OWN_PRINCIPAL, "set"), policy(TENANT, "get")]}}
    found = _vaults.update_access_policy(_GROUP, "kv-policies", "add", added)
    expect(len(found.properties.access_policies), 2)
    return expect(client.set_secret("a", "b").value, "b")


def immutable():
    """What is fixed at creation stays"""
    shorter = _vault_body(softDeleteRetentionInDays=7)
    change = lambda: _vaults.begin_create_or_update(_GROUP, "Kv-Estate", shorter)  # noqa: E731
    return refused(HttpResponseError, change, "softDeleteRetentionInDays", "BadRequest")


def recovery():
    """A deleted vault keeps its name and its secrets"""
    _vaults.delete(_GROUP, "Kv-Estate")
    found = _vaults.get_deleted("Kv-Estate", "westeurope")
    expect(found.properties.vault_id, _VAULT)
    anew = lambda: _vaults.begin_create_or_update(_GROUP, "Kv-Estate", _vault_body())  # noqa: E731
    refused(ResourceExistsError, anew, "ConflictError")
    body = _vault_body(createMode="recover")
    _vaults.begin_create_or_update(_GROUP, "Kv-Estate", body, **_POLLING).result()
    client = SecretClient("https://kv-estate.vault.azure.net", _credential)
    refused(HttpResponseError, lambda: client.get_secret("db"), "ForbiddenByRbac")
    _assign(_VAULT, _SECRETS_OFFICER, _OWN_PRINCIPAL)
    return expect(client.get_secret("db").value, "from a new vault")


def without_rights():
    """Who has no role may manage nothing"""
    stranger = ResourceManagementClient(ManagedIdentityCredential(client_id=WITHOUT_RIGHTS), _SUBSCRIPTION)
    return refused(HttpResponseError, lambda: list(stranger.resource_groups.list()), "AuthorizationFailed")


def teardown():
    """A group goes with all that it has, but its vaults' names stay"""
    _learning.begin_delete(_GROUP, "mlw-estate", **_POLLING).result()
    left = sorted(found.name for found in _resources.resources.list_by_resource_group(_GROUP))
    expect(left, ["Kv-Estate", "agent", "ai-estate", "kv-policies", "la-estate", "stestate"])
    _resources.resource_groups.begin_delete(_GROUP, **_POLLING).result()
    expect(_resources.resource_groups.check_existence(_GROUP), False)
    deleted = sorted(found.name for found in _vaults.list_deleted())
    expect(deleted, ["Kv-Estate", "kv-policies"])
    for name in deleted:
        _vaults.begin_purge_deleted(name, "westeurope", **_POLLING).result()
    expect(list(_vaults.list_deleted()), [])
    name = {"name": "kv-estate", "type": "Microsoft.KeyVault/vaults"}
    return expect(_vaults.check_name_availability(name).name_available, True)


STEPS = [
    endpoints,
    providers,
    group,
    vault,
    role_assignment,
    role_definition,
    storage,
    monitoring,
    workspace,
    agent_identity,
    firewall,
    access_policies,
    immutable,
    recovery,
    without_rights,
    teardown,
]
