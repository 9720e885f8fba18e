"""Waiting until the agent is there and has what it was configured with."""

from __future__ import annotations

import os
import time
from pathlib import Path

from . import _socket
from ._connection import Connection
from ._errors import KeysideError, NoAgent, NotYet, SecretAbsent
from ._refusal import detail, refused
from ._secrets import failures, listing

PAUSE_SECONDS = 0.1
"""The pause between two looks. A look takes under a millisecond."""

FINAL = ("not_found", "disabled", "unusable")
"""Codes of failures that no waiting mends."""


def wait_ready(timeout: float = 60.0) -> None:
    """Waits until an agent answers and has every required secret.

    A sidecar may start after the program, so an agent that is not there yet is waited for, too.

    Args:
        timeout: How many seconds to wait at most.

    Raises:
        NoAgent: When no agent answered in time.
        NotYet: When one did, and says why it is not ready.
        UnsafeSocket: At once, when the private socket is not to be trusted.
    """
    deadline = time.monotonic() + timeout
    while True:
        trouble = look(_socket.find())
        if trouble is None:
            return
        if time.monotonic() + PAUSE_SECONDS > deadline:
            raise trouble
        time.sleep(PAUSE_SECONDS)


def look(socket: Path) -> KeysideError | None:
    """Why the agent is not ready, or None when it is.

    Raises:
        KeysideError: When waiting would not help.
    """
    try:
        answer = Connection(socket).ask("GET", "/readyz", {})
    except NoAgent as error:
        return error
    if answer.status == 200:
        return None
    if answer.status == 503:
        return NotYet(f"the agent at {socket} is not ready: {detail(answer)}")
    raise refused(answer)


def look_for(socket: Path, names: list[str]) -> KeysideError | None:
    """Why the agent does not have one of these secrets yet, or None when it has them all.

    Raises:
        KeysideError: When waiting would not help: the agent's configuration or the vault does not have it.
    """
    try:
        known = listing(socket)
    except NoAgent as error:
        return error
    for name in names:
        if name not in known:
            raise SecretAbsent(
                f"the agent at {socket} has no secret '{name}', or not for uid {os.geteuid()}: whoever runs that agent must "
                f"add it"
            )
    awaited = [name for name in names if known[name].version is None]
    return _why_awaited(socket, awaited[0]) if awaited else None


def _why_awaited(socket: Path, name: str) -> KeysideError:
    try:
        code, why = failures(socket).get(name, (None, "it is being fetched"))
    except NoAgent as error:
        return error
    if code in FINAL:
        raise SecretAbsent(f"the vault has no usable secret '{name}' ({code}): {why}")
    return NotYet(f"the secret '{name}' is not there yet{f' ({code})' if code else ''}: {why}")
