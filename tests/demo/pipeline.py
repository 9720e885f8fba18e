"""A small training pipeline: one secret from the socket, one from a file, and a wait for the next version.

It knows no vault and no cloud, and needs the standard library only.
"""

import hashlib
import http.client
import os
import socket
import sys


class Keyside(http.client.HTTPConnection):
    """HTTP over the agent's Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("keyside", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def fingerprint(value: bytes) -> str:
    """What may be shown of a secret: its length and the start of its hash."""
    return f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:8]}"


def value_of(name: str, query: str = "", headers: dict[str, str] | None = None) -> tuple[bytes, str]:
    """The bytes of a secret and their version tag."""
    connection = Keyside(os.environ["KEYSIDE_SOCKET"])
    connection.request("GET", f"/v1/secrets/{name}/value{query}", headers=headers or {})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        sys.exit(f"{name}: HTTP {answer.status}")
    return body, answer.headers["ETag"]


def main() -> None:
    password, version = value_of("db-password")
    print(f"socket: db-password is {fingerprint(password)}", flush=True)
    with open(os.path.join(os.environ["KEYSIDE_SECRETS_DIR"], "api-token"), "rb") as file:
        print(f"file:   api-token is {fingerprint(file.read())}", flush=True)
    password, _ = value_of("db-password", "?wait=30s", {"If-None-Match": version})
    print(f"change: db-password is {fingerprint(password)}", flush=True)


if __name__ == "__main__":
    main()
