"""Reading secrets, and what may be known of them without their values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import _socket
from ._connection import Answer, Connection
from ._errors import InvalidName, NotText
from ._refusal import not_understood, refused

NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
"""Key Vault's rule for names, which is also that of the agent's local names."""

NAME_SHOWN_MAX = 127
"""Most characters that are repeated of what is no name."""

_last_tags: dict[tuple[str, str], str] = {}
"""The entity tag of the version that this process last read, by socket and name: a change is a change from that."""


@dataclass(frozen=True)
class SecretInfo:
    """What the agent tells of a secret besides its value. Times are in UTC, and None before the first fetch."""

    name: str
    """What `get_secret` calls it."""
    state: str
    """`fresh`; `stale`: the latest look failed, this is the last good value; `awaited`: not fetched yet."""
    version: str | None
    """The vault's version of the value."""
    content_type: str | None
    """The owner's free text about the format."""
    created: datetime | None
    """When this version was made."""
    updated: datetime | None
    """When this version or its attributes last changed."""
    expires: datetime | None
    """When this version expires, if ever."""
    fetched: datetime | None
    """When the vault last confirmed it."""
    age: timedelta | None
    """How long ago that was."""
    stale: bool
    """Whether the vault may have a newer version, because the latest look failed."""


def get_secret(name: str) -> str:
    """The present value of a secret, as text.

    Reads from the agent's memory, which takes well under a millisecond: call it where the value is used, and keep no copy.

    Raises:
        NoAgent: When no agent answers. There is no other place that is looked at.
        SecretAbsent: When there is no such secret, or this user may not read it.
        NotYet: When the agent has not fetched it yet, or it is too old.
        Revoked: When it was disabled or deleted.
        NotText: When it is not UTF-8.
    """
    text = as_text(get_secret_bytes(name))
    if text is None:
        raise not_text(name)
    return text


def get_secret_bytes(name: str) -> bytes:
    """The present value of a secret, as bytes.

    Raises:
        NoAgent, SecretAbsent, NotYet, Revoked: As `get_secret`.
    """
    socket = _socket.find()
    answer = ask_value(Connection(socket), "GET", name)
    if answer.status != 200:
        raise refused(answer, name)
    remember_tag(socket, name, answer.tag)
    return answer.body


def secrets() -> Mapping[str, SecretInfo]:
    """What this user may read, by name, and without values: a picture of this moment that cannot be changed.

    Raises:
        NoAgent: When no agent answers.
        NotUnderstood: When the agent is of another version.
    """
    return listing(_socket.find())


def ask_value(connection: Connection, method: str, name: str, known: str | None = None, query: str = "") -> Answer:
    """Asks for a secret's bytes, or with `HEAD` only for what is known of them.

    Raises:
        InvalidName: When no secret can have this name.
        NoAgent: When no agent answers.
    """
    if not is_name(name):
        raise invalid(name)
    headers = {} if known is None else {"If-None-Match": known}
    return connection.ask(method, f"/v1/secrets/{name}/value{query}", headers)


def listing(socket: Path) -> Mapping[str, SecretInfo]:
    """What this user may read from the agent at this socket.

    Raises:
        NoAgent, NotUnderstood: As `secrets`.
    """
    answer = Connection(socket).ask("GET", "/v1/secrets", {})
    if answer.status != 200:
        raise refused(answer)
    try:
        items = [_info(item) for item in json.loads(answer.body)["secrets"]]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise not_understood() from None
    return MappingProxyType({item.name: item for item in items})


def failures(socket: Path) -> Mapping[str, tuple[str, str]]:
    """Why the latest looks failed, of what this user may read, by the secret's name: a code, and words for people.

    Only operators, such as whoever started the agent, are told the words.

    Raises:
        NoAgent, NotUnderstood: As `secrets`.
    """
    answer = Connection(socket).ask("GET", "/v1/status", {})
    if answer.status != 200:
        raise refused(answer)
    try:
        items = json.loads(answer.body)["failures"]
        return {item["name"]: (item["code"], item["message"] or "see the agent's log") for item in items}
    except (ValueError, LookupError, TypeError):
        raise not_understood() from None


def is_name(name: object) -> bool:
    """Whether a secret can be called so."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def as_text(value: bytes) -> str | None:
    """The value as text, or None where it is none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def not_text(name: str) -> NotText:
    """The error for a value that is no text. It is made without the decoder's error, which holds the whole value."""
    return NotText(f"the secret '{name}' is not UTF-8: read it with get_secret_bytes")


def last_tag(socket: Path, name: str) -> str | None:
    """The tag of the version that this process last read."""
    return _last_tags.get((str(socket), name))


def remember_tag(socket: Path, name: str, tag: str | None) -> None:
    """Keeps the tag of a version that was read."""
    if tag is not None:
        _last_tags[(str(socket), name)] = tag


def invalid(name: object) -> InvalidName:
    """The error for what cannot be a name."""
    rule = "the name of a secret is 1 to 127 letters, digits and dashes"
    if not isinstance(name, str):
        return InvalidName(f"{rule}, not a {type(name).__name__}")
    dashed = name.replace("_", "-")
    hint = f": is '{dashed}' meant? Key Vault knows no underscores" if NAME.fullmatch(dashed) else ""
    return InvalidName(f"{rule}, not {name[:NAME_SHOWN_MAX]!a}{hint}")


def _info(item: Mapping[str, Any]) -> SecretInfo:
    age = item["age_seconds"]
    return SecretInfo(
        name=item["name"],
        state=item["state"],
        version=item["version"],
        content_type=item["content_type"],
        created=_time(item["created"]),
        updated=_time(item["updated"]),
        expires=_time(item["expires"]),
        fetched=_time(item["fetched"]),
        age=None if age is None else timedelta(seconds=age),
        stale=item["stale"],
    )


def _time(text: str | None) -> datetime | None:
    """A time of RFC 3339 in UTC. `fromisoformat` knows neither `Z` before Python 3.11 nor nanoseconds at all."""
    if text is None:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
