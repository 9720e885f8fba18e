"""Making sure that there is an agent, for processes that nobody wraps: it is joined, or else started."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import ClassVar, Iterable
from pathlib import Path

from . import _binary, _lease, _socket
from ._errors import AgentNotStarted, KeysideError, NoAgent, SecretAbsent
from ._ready import PAUSE_SECONDS, look
from ._secrets import listing

LOST_RACE_SECONDS = 2.0
"""How long another agent may take to answer after ours has ended: of several that start at once, all but one end."""

LOG_BYTES_SHOWN = 2000
"""How much of the end of an agent's log an error repeats: a few lines."""


def ensure_agent(
    secrets: Iterable[str] | None = None,
    vault_url: str | None = None,
    config: str | os.PathLike[str] | None = None,
    timeout: float = 60.0,
) -> None:
    """Makes sure that an agent runs and is ready, for a program that `keyside run` does not wrap.

    An agent that answers is joined. Else one is started, which all processes of this user on this machine share, and which
    ends soon after the last process that called this. Calling it again costs a look, and replaces an agent that has died.
    KEYSIDE_SOCKET is set to its socket, so that the processes which this one starts find it, too.

    Args:
        secrets: The names of what is needed. An agent that is joined must have them.
        vault_url: The vault; without it KEY_VAULT_URL. As whom to sign in comes from the environment, as for `keyside run`.
        config: A configuration file, which says which vault and which secrets an agent is started with.
        timeout: How many seconds to wait at most until the agent is ready.

    Raises:
        AgentNotStarted: When none could be started; the message has the end of its log.
        NotYet: When the agent is not ready in time, and why.
        SecretAbsent: When the agent does not have one of the secrets, because somebody else configured it.
    """
    if config is not None and vault_url is not None:
        raise ValueError("a configuration file names the vault itself: give one of config and vault_url")
    names = list(secrets or [])
    socket = _socket.of_own_agent()
    deadline = time.monotonic() + timeout
    hindrance = _hold_lease(socket)
    # Only now, with the lease: an agent that was about to end, because nobody held it, has ended.
    agent = None
    if isinstance(look(socket), NoAgent):
        if hindrance is not None:
            raise AgentNotStarted(f"no agent answers at {socket}, and none can be started there") from hindrance
        agent = _Agent(socket, _arguments(socket, names, vault_url, config))
    _wait(socket, agent, deadline)
    _check_names(socket, names)
    os.environ[_socket.VARIABLE] = str(socket)


class _Agent:
    """An agent that this process started. It is shared, so it goes on when this process ends."""

    _started: ClassVar[list[subprocess.Popen[bytes]]] = []
    """Kept, so that none is reported as forgotten."""

    def __init__(self, socket: Path, arguments: list[str]) -> None:
        """Starts it in a session of its own, where neither Ctrl-C nor the end of a terminal reaches it."""
        self._log = socket.with_name(socket.name + ".log")
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(self._log, flags, 0o600), "r+b", buffering=0) as log:
                self._begin = os.fstat(log.fileno()).st_size
                self._process = subprocess.Popen(
                    arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise AgentNotStarted(f"{arguments[0]} cannot be started") from error
        self._started.append(self._process)

    def ended(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.poll()

    def failure(self) -> AgentNotStarted:
        """The error for its end, with what it logged."""
        try:
            with open(self._log, "rb") as log:
                log.seek(max(self._begin, os.fstat(log.fileno()).st_size - LOG_BYTES_SHOWN))
                said = log.read().decode(errors="replace").strip()
        except OSError:
            said = ""
        said = said or "it said nothing"
        return AgentNotStarted(
            f"the agent ended with code {self._process.returncode}; its log {self._log} ends with:\n{said}"
        )


def _hold_lease(socket: Path) -> OSError | None:
    """Takes a share of the lease. What hinders it is of no account where somebody else looks after the agent."""
    try:
        _socket.make_directory(socket)
        _lease.hold(socket)
    except OSError as error:
        return error
    return None


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


def _wait(socket: Path, agent: _Agent | None, deadline: float) -> None:
    """Waits until an agent is ready: ours, or the one that was faster."""
    failure: KeysideError | None = None
    while True:
        trouble = look(socket)
        if trouble is None:
            return
        if agent is not None and agent.ended() is not None and isinstance(trouble, NoAgent):
            failure = agent.failure()
            agent, deadline = None, min(deadline, time.monotonic() + LOST_RACE_SECONDS)
        if time.monotonic() + PAUSE_SECONDS > deadline:
            raise failure if failure is not None and isinstance(trouble, NoAgent) else trouble
        time.sleep(PAUSE_SECONDS)


def _check_names(socket: Path, names: list[str]) -> None:
    if not names:
        return
    known = listing(socket)
    for name in names:
        if name not in known:
            raise SecretAbsent(
                f"the agent at {socket} has no secret '{name}' that uid {os.geteuid()} may read: it was there before, with "
                f"another configuration"
            )
