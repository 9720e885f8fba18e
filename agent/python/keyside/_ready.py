"""Waiting until the agent is there and has what it was configured with."""

from __future__ import annotations

import time
from pathlib import Path

from . import _socket
from ._connection import Connection
from ._errors import KeysideError, NoAgent, NotYet
from ._refusal import detail, refused

PAUSE_SECONDS = 0.1
"""The pause between two looks. A look takes under a millisecond."""


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
