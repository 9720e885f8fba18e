"""One question to the agent over its Unix socket, and what kept it from being answered."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket as sockets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from ._errors import NoAgent, NotUnderstood

ANSWER_SECONDS = 10.0
"""How long an agent may take for an answer that waits for nothing. It answers from memory, so this is generous."""

QUEUE_SECONDS = 2.0
"""How long a connection is tried while too many wait for the agent to take theirs: it takes thousands in a second."""

QUEUE_PAUSE_SECONDS = 0.02
"""The pause between two such tries."""

ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Most bytes that an answer may have: a value has at most 25 KiB, a list may have many secrets."""


@dataclass(frozen=True)
class Answer:
    """What the agent answered. The body may be a value, so it is not shown."""

    status: int
    tag: str | None
    body: bytes = field(repr=False)


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket, for one question."""

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        """Prepares a connection to the agent at `path`, for a question that asks it to wait so many seconds."""
        super().__init__("keyside", timeout=wait + ANSWER_SECONDS)
        self._path = path
        self._abandoned = False

    def connect(self) -> None:
        """Connects, again and again while the agent's queue of connections is full.

        The kernel then answers `EAGAIN` at once and does not wait (`connect(2)`).
        """
        deadline = time.monotonic() + QUEUE_SECONDS
        while True:
            end = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
            end.settimeout(self.timeout)
            try:
                end.connect(str(self._path))
            except OSError as error:
                end.close()
                if error.errno != errno.EAGAIN or time.monotonic() >= deadline:
                    raise
                time.sleep(QUEUE_PAUSE_SECONDS)
            except BaseException:
                end.close()
                raise
            else:
                break
        self.sock = end
        # Looked at after the socket is there to be found, as `abandon` looks in the opposite order: one sees the other.
        if self._abandoned:
            end.shutdown(sockets.SHUT_RDWR)

    def abandon(self) -> None:
        """Ends a question that another thread is waiting with, now or as soon as it is connected."""
        self._abandoned = True
        end = self.sock
        if end is None:
            return
        # An error means that it is closed already, so nobody waits.
        with contextlib.suppress(OSError):
            end.shutdown(sockets.SHUT_RDWR)

    def forget(self) -> None:
        """Gives up this process's part of a connection that its parent goes on using, without ending it for the parent."""
        if self.sock is not None:
            # `close` would wait for the reader that `http.client` made of it.
            os.close(self.sock.detach())

    def ask(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Asks, and waits for the whole answer.

        Raises:
            NoAgent: When nobody listens, the connection breaks, or the answer takes too long.
            NotUnderstood: When the answer is longer than any that the agent gives.
        """
        try:
            self._open()
            outcome = self._exchange(method, target, headers)
        finally:
            self.close()
        if isinstance(outcome, Answer):
            return outcome
        # Raised out here, and with the kind of the error only: an `IncompleteRead` holds what was read of a value, and
        # an exception that is raised while another is handled keeps it as its context.
        raise NoAgent(f"the agent at {self._path} {outcome}")

    def _open(self) -> None:
        try:
            self.connect()
        except OSError as error:
            self._nobody(error)

    def _nobody(self, error: OSError) -> NoReturn:
        raise NoAgent(
            f"no agent answers at {self._path} ({error.strerror or error}): is it running, and is this its socket? Start the "
            f"program with `keyside run -- …`, or call keyside.ensure_agent() first"
        ) from error

    def _exchange(self, method: str, target: str, headers: Mapping[str, str]) -> Answer | str:
        try:
            self.request(method, target, headers=dict(headers))
            response = self.getresponse()
            body = response.read(ANSWER_BYTES_MAX + 1)
            if len(body) > ANSWER_BYTES_MAX:
                raise NotUnderstood(f"the answer of the agent at {self._path} is longer than any known one")
            if response.length:
                return "broke off"  # A bounded read ends early without a word.
            return Answer(response.status, response.getheader("ETag"), body)
        except sockets.timeout:
            return "does not answer"
        except (OSError, http.client.HTTPException):
            return "broke off"
