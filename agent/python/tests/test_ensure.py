"""The lease, the program, and what is wrong before an agent is started."""

from __future__ import annotations

import fcntl
import os
import tempfile
import unittest
from importlib import metadata
from pathlib import Path
from unittest import mock

import keyside
from keyside import _binary, _ensure, _lease, _socket

from . import fake


class Temporary(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.socket = Path(folder.name) / "run" / "agent.sock"
        patch = mock.patch.dict(os.environ, KEYSIDE_SOCKET=str(self.socket))
        patch.start()
        self.addCleanup(patch.stop)


class Leases(Temporary):
    def setUp(self) -> None:
        super().setUp()
        patch = mock.patch.dict(_lease._held, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(self.end)

    def take(self) -> int:
        _lease.hold(self.socket)
        return _lease._held[str(self.path)]

    def end(self) -> None:
        """Does what the kernel does at the end of a process."""
        while _lease._held:
            os.close(_lease._held.popitem()[1])

    @property
    def path(self) -> Path:
        return _lease.path_of(self.socket)

    def nobody_holds_it(self) -> bool:
        with self.path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def test_a_process_has_one_share_that_no_executed_program_inherits(self) -> None:
        descriptor = self.take()
        self.assertEqual(self.take(), descriptor)
        self.assertFalse(os.get_inheritable(descriptor))
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertFalse(self.nobody_holds_it())
        self.end()
        self.assertTrue(self.nobody_holds_it())

    def test_a_forked_child_keeps_the_agent_as_long_as_it_lives(self) -> None:
        self.take()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
        self.end()
        self.assertFalse(self.nobody_holds_it())
        os.close(writer)
        os.waitpid(child, 0)
        self.assertTrue(self.nobody_holds_it())

    def test_a_share_of_a_file_that_was_removed_is_taken_anew(self) -> None:
        descriptor = self.take()
        self.path.unlink()
        self.assertFalse(_lease._is_in_place(descriptor, self.path))
        self.assertTrue(_lease._is_in_place(self.take(), self.path))

    def test_an_agent_that_is_ending_is_waited_for_and_its_lease_is_not_believed(self) -> None:
        self.socket.parent.mkdir()
        with self.path.open("wb") as ending:
            fcntl.flock(ending, fcntl.LOCK_EX)
            with mock.patch.object(_lease, "PATIENCE_SECONDS", 0.0):
                self.assertRaises(TimeoutError, _lease.hold, self.socket)

            def pause(_seconds: float) -> None:
                # The agent removes the file, and then its directory, while it still has the lock.
                self.path.unlink(missing_ok=True)
                self.socket.parent.rmdir()

            with mock.patch("time.sleep", pause):
                self.take()
        self.assertTrue(self.path.exists())

    def test_a_symbolic_link_is_not_followed(self) -> None:
        self.socket.parent.mkdir()
        self.path.symlink_to("elsewhere")
        self.assertRaises(OSError, _lease.hold, self.socket)


class Ensuring(Temporary):
    def test_an_agent_of_somebody_else_is_joined_without_a_trace(self) -> None:
        with fake.FakeAgent(fake.always(fake.listing([fake.item("a")]))) as agent:
            keyside.ensure_agent(["a"])
            self.assertEqual(os.environ["KEYSIDE_SOCKET"], str(agent.socket))
            self.assertEqual(os.listdir(agent.folder.name), ["agent.sock"])
            self.assertRaisesRegex(
                keyside.SecretAbsent, "whoever runs that agent must add it", keyside.ensure_agent, ["b"]
            )

    def test_an_agent_that_goes_while_it_is_joined_is_replaced(self) -> None:
        starts: list[list[str]] = []
        with fake.FakeAgent(fake.always(fake.listing([fake.item("a")]))) as agent:

            def start(arguments: list[str], **_: object) -> mock.Mock:
                starts.append(arguments)
                agent.start()
                return mock.Mock(poll=lambda: None)

            def joins(socket: Path) -> bool:
                # The look that found it was the last answer that it gave.
                answer = _real_joins(socket)
                if not starts:
                    agent.stop()
                return answer

            _real_joins = _ensure._joins
            program = mock.patch.object(_binary, "find", return_value=Path("/bin/keyside"))
            with program, mock.patch.object(_ensure, "_joins", joins), mock.patch("subprocess.Popen", start):
                keyside.ensure_agent(["a"], vault_url="https://v", timeout=fake.DEADLINE_SECONDS)
        self.assertEqual(len(starts), 1)

    def test_an_agent_that_was_ending_at_the_look_is_not_taken_for_somebody_elses(self) -> None:
        path = _lease.path_of(self.socket)
        self.socket.parent.mkdir()
        path.touch()

        def last_answer(_socket: Path) -> None:
            path.unlink(missing_ok=True)

        with mock.patch.object(_ensure, "look", last_answer), mock.patch.dict(_lease._held, clear=True):
            _ensure._joins(self.socket)
            self.assertEqual(list(_lease._held), [str(path)], "it has a share of the next one's lease")
            os.close(_lease._held.popitem()[1])

    def test_the_common_agent_is_joined_where_it_has_the_secrets(self) -> None:
        del os.environ["KEYSIDE_SOCKET"]
        private = _socket.private(os.geteuid())
        with fake.FakeAgent(fake.always(fake.listing([fake.item("a")]))) as agent:
            del os.environ["KEYSIDE_SOCKET"]
            with mock.patch.object(_socket, "COMMON", agent.socket):
                self.assertEqual(_ensure._place(["a"]), agent.socket)
                self.assertEqual(_ensure._place(["a", "b"]), private)
                agent.stop()
                self.assertEqual(_ensure._place(["a"]), private)
            os.environ["KEYSIDE_SOCKET"] = "/named"
            self.assertEqual(_ensure._place(["a"]), Path("/named"))
            os.environ["KEYSIDE_SOCKET"] = "named"
            self.assertEqual(_ensure._place(["a"]), Path.cwd() / "named")

    def test_mistakes_are_told_before_anything_is_started(self) -> None:
        self.assertRaisesRegex(TypeError, "not one name", keyside.ensure_agent, "db-password")
        self.assertRaisesRegex(keyside.InvalidName, "'db-password' meant", keyside.ensure_agent, ["db_password"])
        self.assertRaisesRegex(ValueError, "not both", keyside.ensure_agent, None, "https://v", "agent.toml")
        self.assertFalse(self.socket.parent.exists())

    def test_the_program_is_told_where_to_listen_and_what_to_fetch(self) -> None:
        with mock.patch.object(_binary, "find", return_value=Path("/bin/keyside")):
            flags = _ensure._arguments(self.socket, ["a", "b"], "https://v", None)
            start = ["/bin/keyside", "agent", "--leased", "--socket", str(self.socket)]
            self.assertEqual(flags, [*start, "--vault-url", "https://v", "--secret", "a", "--secret", "b"])
            flags = _ensure._arguments(self.socket, ["a"], None, Path("x.toml"))
            self.assertEqual(flags, [*start, "--config", "x.toml"])

    def test_the_program_of_the_wheel_comes_before_that_of_the_path(self) -> None:
        program = self.socket.parent.parent / "bin" / "keyside"
        program.parent.mkdir()
        program.touch(0o700)
        file = mock.Mock(parent=mock.Mock(), locate=lambda: program)
        file.name, file.parent.name = "keyside", "bin"
        with mock.patch.object(metadata, "files", return_value=[file]), mock.patch.dict(os.environ, PATH=""):
            self.assertEqual(_binary.find(), program)
            program.chmod(0o600)
            self.assertRaisesRegex(keyside.AgentNotStarted, "no program 'keyside' on the PATH", _binary.find)
        with mock.patch.object(metadata, "files", side_effect=metadata.PackageNotFoundError):
            program.chmod(0o700)
            with mock.patch.dict(os.environ, PATH=str(program.parent)):
                self.assertEqual(_binary.find(), program)

    def test_a_program_that_ends_at_once_is_quoted(self) -> None:
        with mock.patch.object(_binary, "find", return_value=Path("/bin/false")):
            self.assertRaisesRegex(
                keyside.AgentNotStarted, r"code 1; .*ends with:\n\(nothing\)", keyside.ensure_agent, ["a"]
            )
        with mock.patch.object(_binary, "find", return_value=Path("/not/there")):
            self.assertRaisesRegex(keyside.AgentNotStarted, "/not/there cannot be started", keyside.ensure_agent, ["a"])
