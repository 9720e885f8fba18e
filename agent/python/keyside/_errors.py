"""What can go wrong, each with what to do about it. No message and no attribute holds a value."""

from __future__ import annotations

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
    "UnsafeSocket",
]


class KeysideError(Exception):
    """Whatever this package raises, it derives from this."""


class NoAgent(KeysideError):
    """Nobody listens at the socket, or who does breaks off or does not answer in time."""


class UnsafeSocket(KeysideError):
    """Somebody else may have made the directory of the private socket, so the socket in it is not used."""


class InvalidName(KeysideError, ValueError):
    """No secret can have this name: a name has 1 to 127 letters, digits and dashes."""


class SecretAbsent(KeysideError, LookupError):
    """There is no such secret, or this user may not read it: the agent tells only its own log which."""


class Revoked(KeysideError):
    """The secret was disabled or deleted, or the agent may no longer read it, so its value was wiped."""


class NotYet(KeysideError):
    """The value is not there yet, or is too old to be used; a later try may succeed."""


class NotText(KeysideError, ValueError):
    """The value is not UTF-8, so it cannot be a `str`."""


class Refused(KeysideError):
    """The agent refused the request for another reason, which its message says."""


class NotUnderstood(KeysideError):
    """The answer is not what this version of the package knows."""


class AgentNotStarted(KeysideError):
    """An agent could not be started, or ended before it was ready; the message has the end of its log."""
