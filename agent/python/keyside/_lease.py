"""The lease that keeps a shared agent running while somebody uses it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_held: dict[str, int] = {}
"""Descriptors of the leases that this process holds, by path. They are never closed: the kernel does it at the end."""


def path_of(socket: Path) -> Path:
    """The file of which every user of the agent at this socket holds a shared lock."""
    return socket.with_name(socket.name + ".lease")


def hold(socket: Path) -> None:
    """Takes a share of the lease for the rest of this process's life.

    A forked child holds the same share, so the agent stays until the last of them has ended; a program that is executed
    does not. The lock is never given up by `LOCK_UN`, which would take it from parent and children as well.

    Raises:
        OSError: When the directory is missing or not this user's to write in.
    """
    path = path_of(socket)
    if str(path) in _held:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    _held[str(path)] = descriptor
