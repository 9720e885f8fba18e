"""Where the socket is looked for, and what is not trusted."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from keyside import NoAgent, UnsafeSocket, _socket


class Places(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = Path(folder.name)
        self.common = self.base / "run" / "agent.sock"
        for patch in (
            mock.patch.object(_socket, "COMMON", self.common),
            mock.patch.object(_socket, "SHARED_MEMORY", self.base),
            mock.patch.dict(os.environ),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        os.environ.pop("KEYSIDE_SOCKET", None)

    @property
    def private(self) -> Path:
        return self.base / f"keyside-{os.geteuid()}" / "agent.sock"

    def test_the_socket_is_the_named_one_else_the_common_one_else_the_private_one(self) -> None:
        self.assertEqual(_socket.find(), self.common, "for the message")
        _socket.make_directory(self.private)
        self.assertEqual(_socket.find(), self.private)
        self.common.parent.mkdir()
        self.common.touch()
        self.assertEqual(_socket.find(), self.common)
        os.environ["KEYSIDE_SOCKET"] = "/elsewhere"
        self.assertEqual(_socket.find(), Path("/elsewhere"))

    def test_an_empty_variable_is_a_mistake_and_no_wish_for_the_default(self) -> None:
        os.environ["KEYSIDE_SOCKET"] = ""
        with self.assertRaisesRegex(NoAgent, "set but empty"):
            _socket.find()

    def test_a_private_directory_that_others_may_have_made_is_not_used(self) -> None:
        directory = self.private.parent
        directory.symlink_to(self.base)
        self.assertRaisesRegex(UnsafeSocket, "somebody else", _socket.find)
        directory.unlink()
        directory.mkdir(mode=0o700)
        directory.chmod(0o770)
        self.assertRaises(UnsafeSocket, _socket.find)
        directory.chmod(0o1700)
        self.assertRaises(UnsafeSocket, _socket.find)
        directory.chmod(0o700)
        self.assertEqual(_socket.find(), self.private)
        other = os.geteuid() + 1
        with mock.patch.object(os, "geteuid", return_value=other):
            directory.rename(self.private.parent)
            self.assertRaisesRegex(UnsafeSocket, f"uid {other} ", _socket.find)

    def test_the_private_directory_is_made_closed_whatever_the_umask(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        _socket.make_directory(self.private)
        _socket.make_directory(self.private)
        self.assertTrue(_socket.is_private(self.private))
