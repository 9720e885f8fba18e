"""Makes a certificate with its key and its issuer, as a certificate authority would, for somebody to keep in a vault.

Prints one JSON object: the PFX in base64, as Key Vault keeps it, and what is in it in PEM.
"""

import base64
import datetime
import json
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def _name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _certificate(subject, key, issuer, issuer_key):
    certificate = x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key(), x509.random_serial_number())
    certificate = certificate.not_valid_before(_NOW).not_valid_after(_NOW + datetime.timedelta(days=3650))
    return certificate.sign(issuer_key, hashes.SHA256())


def _main(subject):
    issuer_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    issuer = _certificate("Issuer", issuer_key, "Issuer", issuer_key)
    leaf = _certificate(subject, key, "Issuer", issuer_key)
    pfx = pkcs12.serialize_key_and_certificates(b"tls", key, leaf, [issuer], NoEncryption())
    made = {
        "pfx": base64.b64encode(pfx),
        "key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "certificate": leaf.public_bytes(Encoding.PEM),
        "chain": issuer.public_bytes(Encoding.PEM),
    }
    print(json.dumps({name: text.decode() for name, text in made.items()}))


if __name__ == "__main__":
    _main(sys.argv[1])
