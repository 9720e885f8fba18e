"""Where the agent's socket is, and whether it may be trusted: the same places and checks as those of the command line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ._errors import NoAgent, UnsafeSocket

VARIABLE = "KEYSIDE_SOCKET"
"""The environment variable that names the socket."""

COMMON = Path("/run/keyside/agent.sock")
"""Where an agent listens unless told otherwise."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is found there is checked
"""Where an agent listens that may not write to the common place, in a directory of its user's own."""


def private(uid: int) -> Path:
    """The socket of this user's private agent."""
    return SHARED_MEMORY / f"keyside-{uid}" / "agent.sock"


def named() -> Path | None:
    """The socket that the environment names.

    Raises:
        NoAgent: When the variable is there and empty, which is a mistake and no wish for the default.
    """
    value = os.environ.get(VARIABLE)
    if value == "":
        raise NoAgent(f"{VARIABLE} is set but empty: unset it, or name the agent's socket")
    return None if value is None else Path(value)


def find() -> Path:
    """The socket that the environment names, else the common one where it exists, else the private one where it is safe.

    Raises:
        NoAgent: When the environment names an empty path.
        UnsafeSocket: When there is a private directory that someone else may have made.
    """
    chosen = named()
    if chosen is not None:
        return chosen
    if COMMON.exists():
        return COMMON
    socket = private(os.geteuid())
    # Where neither exists, the common one is what a message should name.
    return socket if is_private(socket) else COMMON


def make_directory(socket: Path) -> None:
    """Makes the directory of a socket, closed to others where it is the private one.

    Raises:
        OSError: When it cannot be made.
        UnsafeSocket: When what is there could be someone else's.
    """
    if socket != private(os.geteuid()):
        socket.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        return
    socket.parent.mkdir(mode=0o700, exist_ok=True)
    is_private(socket)


def is_private(socket: Path) -> bool:
    """Whether the directory of the socket exists, and then is one that nobody but this user can have made.

    Raises:
        UnsafeSocket: When it exists and is a symbolic link, has another owner, or is open to others.
    """
    directory, uid = socket.parent, os.geteuid()
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(found.st_mode) and found.st_uid == uid and stat.S_IMODE(found.st_mode) == 0o700:
        return True
    raise UnsafeSocket(
        f"{directory} is not a directory of uid {uid} with mode 0700, so somebody else may have made it: remove it, or "
        f"name another socket in {VARIABLE}"
    )
