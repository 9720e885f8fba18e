"""Every operation of SecretClient, and the refusals that a program meets."""

import datetime

import requests
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

import identities
from identities import SCOPE, TENANT, VAULT_URL, WITHOUT_RIGHTS, Fixed
from report import expect, refused

_VALUE = 'first \u00e4\u00f6\u00fc \u2603 \U0001f511 "quoted" \\ back \n new line'
_MANY = 60

_client = SecretClient(VAULT_URL, identities.application())


def challenge():
    """A request without a token is challenged"""
    answer = requests.get(f"{VAULT_URL}/secrets/greeting/", params={"api-version": "7.4"}, timeout=10)
    expect(answer.status_code, 401)
    expect(answer.json()["error"]["code"], "Unauthorized")
    return expect(
        answer.headers["WWW-Authenticate"],
        f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"',
    )


def set_and_get():
    """set, and get of the latest version"""
    expires = datetime.datetime(2050, 2, 1, tzinfo=datetime.timezone.utc)
    made = _client.set_secret("first", _VALUE, content_type="text/plain", tags={"a": "1"}, expires_on=expires)
    found = _client.get_secret("first")
    expect(found.value, _VALUE)
    expect(found.properties.content_type, "text/plain")
    expect(found.properties.expires_on, expires)
    expect(found.properties.recovery_level, "Recoverable+Purgeable")
    return expect(found.properties.version, made.properties.version)


def get_version():
    """get of one version, old and new"""
    old = _client.get_secret("first").properties.version
    new = _client.set_secret("first", "second").properties.version
    expect(_client.get_secret("first", old).value, _VALUE)
    expect(_client.get_secret("first", new).value, "second")
    return expect(_client.get_secret("first").properties.version, new)


def update():
    """update changes the metadata of a version and nothing else"""
    before = _client.get_secret("first")
    changed = _client.update_secret_properties("first", content_type="text/x", tags={"b": "2"}, enabled=True)
    expect(changed.version, before.properties.version)
    after = _client.get_secret("first")
    expect((after.value, after.properties.content_type), ("second", "text/x"))
    return expect(after.properties.tags, {"b": "2"})


def list_versions():
    """list of versions"""
    versions = [found.version for found in _client.list_properties_of_secret_versions("first")]
    expect(len(versions), 2)
    expect(versions, sorted(versions))
    return " ".join(versions)


def paging():
    """list of 60 more secrets, page by page"""
    names = [f"page-{number:02}" for number in range(_MANY)]
    for name in names:
        _client.set_secret(name, name)
    pages = [[found.name for found in page] for page in _client.list_properties_of_secrets().by_page()]
    expect([name for page in pages for name in page if name in names], names)
    sizes = [len(page) for page in pages]
    expect(max(sizes), 25)
    by_ten = [len(list(page)) for page in _client.list_properties_of_secrets(max_page_size=10).by_page()]
    expect(max(by_ten), 10)
    return f"pages of {sizes}; asked for 10: {by_ten}"


def disabled():
    """A disabled version is not given out, but listed"""
    _client.set_secret("dark", "x", enabled=False)
    listed = {found.name: found.enabled for found in _client.list_properties_of_secrets()}
    expect(listed["dark"], False)
    return refused(HttpResponseError, lambda: _client.get_secret("dark"), "not allowed on a disabled secret", "Forbidden")


def missing():
    """What does not exist is not found"""
    refused(ResourceNotFoundError, lambda: _client.get_secret("nothing"), "SecretNotFound")
    refused(ResourceNotFoundError, lambda: _client.get_secret("first", "0" * 32), "SecretNotFound")
    return refused(ResourceNotFoundError, lambda: _client.get_deleted_secret("nothing"), "SecretNotFound")


def delete():
    """delete, which completes later; its name stays taken"""
    _client.set_secret("gone", "x")
    poller = _client.begin_delete_secret("gone")
    refused(ResourceNotFoundError, lambda: _client.get_secret("gone"), "SecretNotFound")
    poller.wait()
    found = _client.get_deleted_secret("gone")
    expect(found.recovery_id, f"{VAULT_URL}/deletedsecrets/gone")
    expect([deleted.name for deleted in _client.list_deleted_secrets()], ["gone"])
    refused(ResourceExistsError, lambda: _client.set_secret("gone", "y"), "deleted but recoverable state")
    return f"purged at {found.scheduled_purge_date:%Y-%m-%d} unless recovered"


def recover():
    """recover, which completes later; the value is back"""
    _client.begin_recover_deleted_secret("gone").wait()
    expect(list(_client.list_deleted_secrets()), [])
    return expect(_client.get_secret("gone").value, "x")


def purge():
    """purge, but not while the deletion is under way"""
    poller = _client.begin_delete_secret("gone")
    refused(ResourceExistsError, lambda: _client.purge_deleted_secret("gone"), "currently being deleted")
    poller.wait()
    _client.purge_deleted_secret("gone")
    refused(ResourceNotFoundError, lambda: _client.get_deleted_secret("gone"), "SecretNotFound")
    return expect(_client.set_secret("gone", "anew").value, "anew")


def backup_and_restore():
    """backup, and restore with every version"""
    backup = _client.backup_secret("first")
    before = [found.version for found in _client.list_properties_of_secret_versions("first")]
    _client.begin_delete_secret("first").wait()
    _client.purge_deleted_secret("first")
    _client.restore_secret_backup(backup)
    expect([found.version for found in _client.list_properties_of_secret_versions("first")], before)
    expect(_client.get_secret("first").value, "second")
    refused(ResourceExistsError, lambda: _client.restore_secret_backup(backup), "Conflict")
    return f"{len(backup)} bytes"


def reader_may_not_write():
    """A reader may read and list, and may not write"""
    reader = SecretClient(VAULT_URL, ManagedIdentityCredential())
    expect(reader.get_secret("gone").value, "anew")
    expect(len(list(reader.list_properties_of_secrets())) > _MANY, True)
    return refused(
        HttpResponseError,
        lambda: reader.set_secret("gone", "x"),
        "Microsoft.KeyVault/vaults/secrets/setSecret/action",
        "Caller is not authorized to perform action on resource.",
        "ForbiddenByRbac",
    )


def without_rights():
    """An identity without a role may do nothing"""
    stranger = SecretClient(VAULT_URL, ManagedIdentityCredential(client_id=WITHOUT_RIGHTS))
    refused(HttpResponseError, lambda: list(stranger.list_properties_of_secrets()), "ForbiddenByRbac")
    return refused(HttpResponseError, lambda: stranger.get_secret("gone"), "ForbiddenByRbac", "Assignment: (not found)")


def wrong_audience():
    """A token for another service is refused"""
    other = identities.application().get_token("https://management.azure.com/.default").token
    client = SecretClient(VAULT_URL, Fixed(other))
    return refused(ClientAuthenticationError, lambda: client.get_secret("gone"), "AKV10022", "https://management.azure.com")


def forged_token():
    """A token whose signature was cut off is refused"""
    whole = identities.application().get_token(SCOPE).token
    client = SecretClient(VAULT_URL, Fixed(whole.rpartition(".")[0] + "."))
    return refused(ClientAuthenticationError, lambda: client.get_secret("gone"), "Unauthorized")


STEPS = [
    challenge,
    set_and_get,
    get_version,
    update,
    list_versions,
    paging,
    disabled,
    missing,
    delete,
    recover,
    purge,
    backup_and_restore,
    reader_may_not_write,
    without_rights,
    wrong_audience,
    forged_token,
]
