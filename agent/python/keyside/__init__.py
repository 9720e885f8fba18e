"""An Azure Key Vault's secrets beside the program that needs them, and kept fresh there.

The values come from the Keyside agent on this machine, over its Unix socket; this package knows no vault and no cloud.
Nothing here falls back to an environment variable or a default: without an agent there is an error, and it says what to do.
"""

from __future__ import annotations

from ._ensure import ensure_agent
from ._errors import (
    AgentNotStarted,
    InvalidName,
    KeysideError,
    NoAgent,
    NotText,
    NotUnderstood,
    NotYet,
    Refused,
    Revoked,
    SecretAbsent,
    UnsafeSocket,
)
from ._ready import wait_ready
from ._secrets import SecretInfo, get_secret, get_secret_bytes, secrets
from ._watch import Watch, on_change, on_change_bytes

__all__ = [
    "AgentNotStarted",
    "InvalidName",
    "KeysideError",
    "NoAgent",
    "NotText",
    "NotUnderstood",
    "NotYet",
    "Refused",
    "Revoked",
    "SecretAbsent",
    "SecretInfo",
    "UnsafeSocket",
    "Watch",
    "ensure_agent",
    "get_secret",
    "get_secret_bytes",
    "on_change",
    "on_change_bytes",
    "secrets",
    "wait_ready",
]
