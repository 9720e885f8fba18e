"""Making sure that there is an agent, for processes that nobody wraps: it is joined, or else started."""

from __future__ import annotations

import atexit
import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

from . import _binary, _lease, _socket
from ._errors import AgentNotStarted, KeysideError, NoAgent
from ._ready import PAUSE_SECONDS, look, look_for
from ._secrets import invalid, is_name, listing

TAKEN = 73
"""The code with which a leased agent ends when another one has its socket: of several that start at once, one stays."""

LOG_BYTES_SHOWN = 2000
"""How much of the end of an agent's log an error repeats: a few lines."""

OF_THE_SERVICE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""What belongs to the service manager's conversation with this process, and not with an agent that it starts."""

_started: list[subprocess.Popen[bytes]] = []
"""The agents that this process started."""


@atexit.register
def _leave_to_others() -> None:
    """Keeps Python from warning that an agent outlives this process: it is there for all who have a share of the lease."""
    for process in _started:
        process.returncode = process.poll() or 0


def ensure_agent(
    secrets: Iterable[str] | None = None,
    vault_url: str | None = None,
    config: str | os.PathLike[str] | None = None,
    timeout: float = 60.0,
) -> None:
    """Makes sure that an agent has what is needed, for a program that `keyside run` does not wrap.

    An agent that answers and has the secrets is joined. Else one is started, which all processes of this user on this
    machine share, and which ends soon after the last process that called this. Calling it again costs a look, and
    replaces an agent that has died. KEYSIDE_SOCKET is set to its socket, so that the processes which this one starts
    find it, too.

    Args:
        secrets: The names of what is needed.
        vault_url: The vault, for an agent that is started; without it KEY_VAULT_URL. As whom to sign in comes from the
            environment, as for `keyside run`.
        config: A configuration file for an agent that is started, in place of `vault_url`.
        timeout: How many seconds to wait at most until everything is there.

    Raises:
        AgentNotStarted: When none could be started; the message has the end of its log.
        NotYet: When something is not there in time, and why.
        SecretAbsent: When the vault does not have a secret, or the agent has another configuration without it.
    """
    if config is not None and vault_url is not None:
        raise ValueError("a configuration file names the vault itself: give config or vault_url, not both")
    names = _names(secrets)
    deadline = time.monotonic() + timeout
    socket = _place(names)
    agent = _Agent(socket, lambda: _arguments(socket, names, vault_url, config))
    agent.see_to_it()
    _wait(socket, names, agent, deadline)
    os.environ[_socket.VARIABLE] = str(socket)


class _Agent:
    """The agent that this process joins or starts. It is shared, so it goes on when this process ends."""

    def __init__(self, socket: Path, arguments: Callable[[], list[str]]) -> None:
        """Prepares it; `arguments` are asked for when one is to be started."""
        self._socket = socket
        self._log = socket.with_name(socket.name + ".log")
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def see_to_it(self) -> None:
        """Joins the agent that answers, and starts one where none does: also in the place of one that has gone.

        Raises:
            AgentNotStarted: When none can be started, or one that was ended for a reason of its own.
        """
        code = None if self._process is None else self._process.poll()
        if self._process is not None and code is None:
            return
        if code not in (None, TAKEN):
            raise AgentNotStarted(
                f"the agent ended with code {code}; its log {self._log} ends with:\n{self._last_lines() or '(nothing)'}"
            )
        if not _joins(self._socket):
            self._start(self._arguments())

    def _start(self, arguments: list[str]) -> None:
        """Starts it in a session of its own, where neither Ctrl-C nor the end of a terminal reaches it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        environment = {name: value for name, value in os.environ.items() if name not in OF_THE_SERVICE}
        try:
            with open(os.open(self._log, flags, 0o600), "r+b", buffering=0) as log:
                self._begin = os.fstat(log.fileno()).st_size
                self._process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=environment,
                )
        except OSError as error:
            raise AgentNotStarted(f"{arguments[0]} cannot be started beside {self._log}") from error
        _started.append(self._process)

    def _last_lines(self) -> str:
        with open(self._log, "rb") as log:
            log.seek(max(self._begin, os.fstat(log.fileno()).st_size - LOG_BYTES_SHOWN))
            return log.read().decode(errors="replace").strip()


def _names(secrets: Iterable[str] | None) -> list[str]:
    if isinstance(secrets, str):
        raise TypeError("secrets is a list of names, not one name")
    names = list(secrets or [])
    for name in names:
        if not is_name(name):
            raise invalid(name)
    return names


def _place(names: list[str]) -> Path:
    """The socket that is named; else the common one where an agent has the secrets; else the private one."""
    chosen = _socket.named()
    if chosen is not None:
        return chosen.absolute()  # The processes that this one starts may be in another directory.
    if _socket.COMMON.exists():
        try:
            if set(names) <= listing(_socket.COMMON).keys():
                return _socket.COMMON
        except KeysideError:
            pass  # Whatever is wrong with somebody else's agent, an own one can be had.
    return _socket.private(os.geteuid())


def _joins(socket: Path) -> bool:
    """Takes a share of the lease, and answers whether an agent is there already."""
    lease = _lease.path_of(socket)
    # Before and after: an agent that was just ending, or just starting, has one only at one of these times.
    leased = lease.exists()
    there = not isinstance(look(socket), NoAgent)
    if there and not leased and not lease.exists():
        return True  # It runs for other reasons, and whoever started it looks after it.
    try:
        _lease.hold(socket)
    except PermissionError as error:
        if there:
            return True
        raise AgentNotStarted(f"no agent answers at {socket}, and uid {os.geteuid()} cannot start one there") from error
    except OSError as error:
        raise AgentNotStarted(f"no agent can be started at {socket}: {error.strerror}") from error
    # Again, with the lease: one that was about to end has ended.
    return not isinstance(look(socket), NoAgent)


def _arguments(
    socket: Path, names: list[str], vault_url: str | None, config: str | os.PathLike[str] | None
) -> list[str]:
    arguments = [str(_binary.find()), "agent", "--leased", "--socket", str(socket)]
    if config is not None:
        return [*arguments, "--config", os.fspath(config)]
    if vault_url is not None:
        arguments += ["--vault-url", vault_url]
    for name in names:
        arguments += ["--secret", name]
    return arguments


def _wait(socket: Path, names: list[str], agent: _Agent, deadline: float) -> None:
    """Waits until the secrets are there, or all that the agent requires where none is named."""
    while True:
        trouble = look_for(socket, names) if names else look(socket)
        if trouble is None:
            return
        if isinstance(trouble, NoAgent):
            agent.see_to_it()
        if time.monotonic() + PAUSE_SECONDS > deadline:
            raise trouble
        time.sleep(PAUSE_SECONDS)
