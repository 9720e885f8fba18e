"""Watching a secret: a thread of its own that waits for the next version and hands it on."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from types import TracebackType
from typing import Callable

from . import _socket
from ._connection import Answer, Connection
from ._errors import KeysideError
from ._refusal import refused
from ._secrets import as_text, ask_value, last_tag, not_text, remember_tag

LOG = logging.getLogger("keyside")

WAIT_SECONDS = 60
"""How long one question waits: well under what the agent grants, and short enough that a lost agent is noticed."""

PAUSE_SECONDS_FIRST = 0.2
"""The pause after a question that failed; an agent that is started again is there within a second."""

PAUSE_SECONDS_MAX = 10.0
"""The longest such pause, after more and more failures."""

_running: set[Watch] = set()
"""The watches whose threads run in this process."""


class Watch:
    """A secret that is being watched; made by `on_change`. As a context manager it ends with the block.

    It goes on while the program runs, whether or not this object is kept. It belongs to the process that made it: in a
    forked child, such as a data loader's worker, nothing watches, and `active` is false.
    """

    def __init__(self, name: str, deliver: Callable[[bytes], None], known: str | None) -> None:
        """Starts to watch for another version than the known one, or for the first one there is."""
        self._name = name
        self._deliver = deliver
        self._known = known
        self._trouble: type[KeysideError] | None = None
        self._pause = PAUSE_SECONDS_FIRST
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name=f"keyside-{name}", daemon=True)
        _running.add(self)
        self._thread.start()

    @property
    def name(self) -> str:
        """What is watched."""
        return self._name

    @property
    def active(self) -> bool:
        """Whether this process watches it."""
        return self._thread is not None and not self._stop.is_set()

    def cancel(self) -> None:
        """Ends the watch, without waiting for a callback that is running."""
        self._stop.set()
        connection = self._connection
        if connection is not None:
            connection.abandon()

    def close(self) -> None:
        """Ends the watch; a callback that is running ends first, unless it is the one that calls this."""
        self.cancel()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def __enter__(self) -> Watch:
        """Goes on until the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the watch."""
        self.close()

    def __repr__(self) -> str:
        """Name and state."""
        return f"<Watch {self._name!r} {'active' if self.active else 'ended'}>"

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._look()
        finally:
            _running.discard(self)

    def _look(self) -> None:
        """Asks once, and waits a moment when that did not work."""
        try:
            answer = self._ask()
            if answer is None:
                return
            if answer.status not in (200, 304):
                raise refused(answer, self._name)
        except KeysideError as error:
            self._note(error)
            self._stop.wait(self._pause)
            self._pause = min(2 * self._pause, PAUSE_SECONDS_MAX)
            return
        self._recovered()
        if answer.status == 200:
            # Before the callback, so that a version is handed on once, whatever becomes of it.
            self._known = answer.tag
            self._call(answer.body)

    def _ask(self) -> Answer | None:
        socket = _socket.find()
        connection = Connection(socket, WAIT_SECONDS)
        self._connection = connection
        # Looked at after the connection is there to be found, as `cancel` looks in the opposite order.
        if self._stop.is_set():
            return None
        try:
            answer = ask_value(connection, "GET", self._name, self._known, f"?wait={WAIT_SECONDS}s")
        except KeysideError:
            if self._stop.is_set():
                return None  # It was broken off on purpose.
            raise
        finally:
            self._connection = None
        if answer.status == 200:
            remember_tag(socket, self._name, answer.tag)
        return answer

    def _call(self, value: bytes) -> None:
        try:
            self._deliver(value)
        except BaseException as error:
            # Neither the message nor the exception itself goes to the log: both can hold the value, and collectors of
            # errors keep the variables of every frame.
            frames = "".join(traceback.format_tb(error.__traceback__))
            kind = type(error).__qualname__
            LOG.error(
                "the callback for secret '%s' raised %s (its message is not shown, since it may hold the value):\n%s",
                self._name,
                kind,
                frames,
            )

    def _note(self, error: KeysideError) -> None:
        if self._trouble is not type(error):
            LOG.warning("cannot watch secret '%s' for now: %s; trying again", self._name, error)
        self._trouble = type(error)

    def _recovered(self) -> None:
        if self._trouble is not None:
            LOG.warning("watching secret '%s' again", self._name)
        self._trouble = None
        self._pause = PAUSE_SECONDS_FIRST

    def _forked(self) -> None:
        """Makes the copy in a forked child what it is there: a watch without a thread."""
        self._thread = None
        # The old one's lock may be held by the thread that did not come along.
        self._stop = threading.Event()
        self._stop.set()
        if self._connection is not None:
            self._connection.forget()
        self._connection = None


def on_change(name: str, callback: Callable[[str], object]) -> Watch:
    """Calls `callback` with the new value, as text, whenever the secret changes.

    The callback is called in a thread of the watch's own, once for each new version that is noticed, and never at the
    same time as itself. A change is one from the version that this process last read, or from the present one when it
    read none; so nothing is missed between `get_secret` and this. What the callback raises is logged to the logger
    `keyside` and ends nothing. Neither does an agent that is started again, or a secret that is revoked: the watch goes on.

    Raises:
        NoAgent: When no agent answers now.
        SecretAbsent: When there is no such secret, or this user may not read it.
        Revoked: When it was disabled or deleted.
    """

    def deliver(value: bytes) -> None:
        text = as_text(value)
        if text is None:
            LOG.error("%s; the callback was not called", not_text(name))
        else:
            callback(text)

    return Watch(name, deliver, _known_version(name))


def on_change_bytes(name: str, callback: Callable[[bytes], object]) -> Watch:
    """Calls `callback` with the new value, as bytes, whenever the secret changes: `on_change` for values that are no text.

    Raises:
        NoAgent, SecretAbsent, Revoked: As `on_change`.
    """

    def deliver(value: bytes) -> None:
        callback(value)

    return Watch(name, deliver, _known_version(name))


def _known_version(name: str) -> str | None:
    """The tag of the version that a change is a change from. Asks for the head only, so that no value travels."""
    socket = _socket.find()
    answer = ask_value(Connection(socket), "HEAD", name)
    if answer.status not in (200, 503):
        raise refused(answer, name)
    return last_tag(socket, name) or answer.tag


def _in_forked_child() -> None:
    for watch in list(_running):
        watch._forked()
    _running.clear()


os.register_at_fork(after_in_child=_in_forked_child)
