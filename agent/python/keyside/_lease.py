"""The lease that keeps a shared agent running while somebody uses it."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from . import _socket

PATIENCE_SECONDS = 15.0
"""How long an agent may take to end, before a new lease can be had: its own time for answers under way, and some more."""

PAUSE_SECONDS = 0.02
"""How soon a lock that is held is tried again."""

_held: dict[str, int] = {}
"""Descriptors of the leases that this process has a share of, by path; the kernel closes them at the process's end."""


def path_of(socket: Path) -> Path:
    """The file of which every user of the agent at this socket holds a shared lock."""
    return socket.with_name(socket.name + ".lease")


def hold(socket: Path) -> None:
    """Takes a share of the lease for the rest of this process's life, after an agent that is about to end has ended.

    A forked child holds the same share, so the agent stays until the last of them has ended; a program that is executed
    does not. The share is never given up by `LOCK_UN`, which would take it from parent and children as well.

    Raises:
        OSError: When the directory is not this user's to write in, or the agent takes too long to end.
        UnsafeSocket: When the private directory may be someone else's.
    """
    path = path_of(socket)
    deadline = time.monotonic() + PATIENCE_SECONDS
    held = _held.pop(str(path), None)
    if held is not None:
        if _is_in_place(held, path):
            _held[str(path)] = held
            return
        os.close(held)
    while True:
        descriptor = _try(socket, path)
        if descriptor is not None:
            _held[str(path)] = descriptor
            return
        if time.monotonic() >= deadline:
            raise TimeoutError(errno.ETIMEDOUT, "the agent is ending and does not get on with it", str(socket))
        time.sleep(PAUSE_SECONDS)


def _try(socket: Path, path: Path) -> int | None:
    """The descriptor of a share, or None where an agent is just ending."""
    _socket.make_directory(socket)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None  # Whoever was here last has just removed the directory.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    if _is_in_place(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def _is_in_place(descriptor: int, path: Path) -> bool:
    """Whether the file is still the one of this name. A lock on one that the last user removed keeps no agent running."""
    try:
        there = path.lstat()
    except OSError:
        return False
    own = os.fstat(descriptor)
    return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
