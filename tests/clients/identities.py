"""Every way to sign in, each proven by reading a secret with it; and how each is refused."""

import base64
import contextlib
import json
import os
import pathlib
import time

import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.keyvault.secrets import SecretClient

from report import expect, refused

VAULT_URL = "https://kv-clients.vault.azure.net"
SCOPE = "https://vault.azure.net/.default"
TENANT = "5f0d6a1c-3f55-4f0e-9a5b-6c1c0b6e1d01"
APP = "5f0d6a1c-3f55-4f0e-9a5b-6c1c0b6e1d10"
APP_SECRET = "c1ient~secret%+/="
ASSIGNED = "5f0d6a1c-3f55-4f0e-9a5b-6c1c0b6e1d30"
ASSIGNED_RESOURCE = (
    "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg"
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/pipeline"
)
WITHOUT_RIGHTS = "5f0d6a1c-3f55-4f0e-9a5b-6c1c0b6e1d40"

_ENDPOINTS = os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"].rstrip("/")
FOLDER = pathlib.Path(os.environ["SCENARIO_FOLDER"])


class Fixed:
    """A credential that shows one token, whatever is asked."""

    def __init__(self, token):
        self._token = token

    def get_token(self, *_scopes, **_options):
        return AccessToken(self._token, int(time.time()) + 3600)


def application():
    """The application's secret: the identity that may do everything with secrets."""
    return ClientSecretCredential(TENANT, APP, APP_SECRET)


@contextlib.contextmanager
def variables(**values):
    """Sets environment variables for as long as a credential is used."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _app_service(header="identity-header-of-the-scenario"):
    return variables(IDENTITY_ENDPOINT=f"{_ENDPOINTS}/msi/token", IDENTITY_HEADER=header)


def _azure_ml(secret="msi-secret-of-the-scenario"):
    return variables(MSI_ENDPOINT=f"{_ENDPOINTS}/msi/token", MSI_SECRET=secret)


def _reads_as(credential, object_id_ending):
    """Reads a secret with a fresh credential; returns whose token that took."""
    expect(SecretClient(VAULT_URL, credential).get_secret("greeting").value, "hello from the seed")
    payload = credential.get_token(SCOPE).token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    expect(claims["oid"][-2:], object_id_ending)
    return f"{claims['idtyp']} {claims['oid']}"


def client_secret():
    """ClientSecretCredential"""
    return _reads_as(application(), "11")


def certificate():
    """CertificateCredential, by the thumbprint that MSAL chooses"""
    path = FOLDER / "client.pem"
    return _reads_as(CertificateCredential(TENANT, APP, certificate_path=str(path)), "11")


def certificate_chain():
    """CertificateCredential that sends its certificate along"""
    path = FOLDER / "client.pem"
    credential = CertificateCredential(TENANT, APP, certificate_path=str(path), send_certificate_chain=True)
    return _reads_as(credential, "11")


def workload_identity():
    """WorkloadIdentityCredential, from the variables of a pod"""
    with variables(
        AZURE_TENANT_ID=TENANT, AZURE_CLIENT_ID=APP, AZURE_FEDERATED_TOKEN_FILE=str(FOLDER / "pipeline.jwt")
    ):
        return _reads_as(WorkloadIdentityCredential(), "11")


def default_credential():
    """DefaultAzureCredential, from a client secret's variables"""
    with variables(AZURE_TENANT_ID=TENANT, AZURE_CLIENT_ID=APP, AZURE_CLIENT_SECRET=APP_SECRET):
        return _reads_as(DefaultAzureCredential(), "11")


def imds_system():
    """ManagedIdentityCredential by IMDS, the machine's own"""
    return _reads_as(ManagedIdentityCredential(), "21")


def imds_by_client():
    """ManagedIdentityCredential by IMDS, by client id"""
    return _reads_as(ManagedIdentityCredential(client_id=ASSIGNED), "31")


def imds_by_resource():
    """ManagedIdentityCredential by IMDS, by resource id"""
    by_resource = {"resource_id": ASSIGNED_RESOURCE}
    return _reads_as(ManagedIdentityCredential(identity_config=by_resource), "31")


def app_service():
    """ManagedIdentityCredential by App Service"""
    with _app_service():
        return _reads_as(ManagedIdentityCredential(client_id=ASSIGNED), "31")


def azure_ml_system():
    """ManagedIdentityCredential by Azure ML, the default identity"""
    with _azure_ml():
        return _reads_as(ManagedIdentityCredential(), "21")


def azure_ml_by_client():
    """ManagedIdentityCredential by Azure ML, by client id"""
    with _azure_ml():
        return _reads_as(ManagedIdentityCredential(client_id=ASSIGNED), "31")


def on_behalf_of():
    """A user's token by on-behalf-of"""
    answer = requests.get(f"{_ENDPOINTS}/obo/token", params={"resource": "https://vault.azure.net"}, timeout=10)
    return _reads_as(Fixed(answer.json()["access_token"]), "51")


def wrong_secret():
    """A wrong client secret is refused"""
    credential = ClientSecretCredential(TENANT, APP, "wrong")
    return refused(ClientAuthenticationError, lambda: credential.get_token(SCOPE), "AADSTS7000215", "Trace ID")


def unknown_application():
    """An application that the tenant does not have is refused"""
    credential = ClientSecretCredential(TENANT, TENANT, APP_SECRET)
    return refused(ClientAuthenticationError, lambda: credential.get_token(SCOPE), "AADSTS700016")


def unknown_tenant():
    """A tenant that does not exist is refused"""
    credential = ClientSecretCredential(APP, APP, APP_SECRET)
    return refused(ClientAuthenticationError, lambda: credential.get_token(SCOPE), "Unable to get authority configuration")


def untrusted_subject():
    """A service account without a federated credential is refused"""
    credential = WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=APP, token_file_path=str(FOLDER / "stranger.jwt")
    )
    return refused(ClientAuthenticationError, lambda: credential.get_token(SCOPE), "AADSTS70021", "default:stranger")


def unknown_identity():
    """IMDS refuses an identity that is not assigned"""
    credential = ManagedIdentityCredential(client_id=TENANT)
    return refused(CredentialUnavailableError, lambda: credential.get_token(SCOPE), "Identity not found")


def wrong_identity_header():
    """App Service refuses a wrong X-IDENTITY-HEADER"""
    with _app_service(header="wrong"):
        credential = ManagedIdentityCredential()
        return refused(ClientAuthenticationError, lambda: credential.get_token(SCOPE), "401")


def wrong_msi_secret():
    """Azure ML refuses a wrong secret"""
    with _azure_ml(secret="wrong"):
        credential = ManagedIdentityCredential()
        return refused(ClientAuthenticationError, lambda: credential.get_token(SCOPE), "401")


STEPS = [
    client_secret,
    certificate,
    certificate_chain,
    workload_identity,
    default_credential,
    imds_system,
    imds_by_client,
    imds_by_resource,
    app_service,
    azure_ml_system,
    azure_ml_by_client,
    on_behalf_of,
    wrong_secret,
    unknown_application,
    unknown_tenant,
    untrusted_subject,
    unknown_identity,
    wrong_identity_header,
    wrong_msi_secret,
]
