"""Reading: values, what is known of them, and every refusal."""

from __future__ import annotations

import os
import socket as sockets
import tempfile
import threading
import traceback
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

import keyside
from keyside import _connection

from . import fake

SECRET = b"s3cret-\xff-bytes"


class Reading(unittest.TestCase):
    def test_a_value_is_read_as_text_and_as_bytes(self) -> None:
        with fake.FakeAgent(fake.always(fake.value("pä55".encode()))) as agent:
            self.assertEqual(keyside.get_secret("db-password"), "pä55")
            self.assertEqual(keyside.get_secret_bytes("db-password"), "pä55".encode())
            self.assertEqual(agent.questions[0][:2], ("GET", "/v1/secrets/db-password/value"))

    def test_what_may_be_read_is_listed_with_its_times(self) -> None:
        with fake.FakeAgent(fake.always(fake.listing([fake.item("a"), fake.item("b")]))):
            found = keyside.secrets()
        self.assertEqual(list(found), ["a", "b"])
        info = found["a"]
        self.assertEqual(info.created, datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
        self.assertEqual(info.updated, datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=timezone.utc))
        self.assertEqual(info.fetched, datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=timezone.utc))
        self.assertEqual((info.age, info.expires, info.stale), (timedelta(seconds=61), None, False))
        with self.assertRaises(TypeError):
            found["c"] = info  # type: ignore[index]

    def test_every_refusal_says_what_it_means(self) -> None:
        uid = os.geteuid()
        rows = [
            (fake.problem(404, "not_found", "x"), keyside.SecretAbsent, f"absent, or not readable by uid {uid}"),
            (fake.problem(410, "revoked", "disabled in the vault"), keyside.Revoked, "'a' was revoked: disabled"),
            (fake.problem(503, "not_published", "not fetched"), keyside.NotYet, "not fetched; keyside.wait_ready"),
            (fake.problem(429, "too_many_connections", "too\nmany"), keyside.Refused, "429: too.many"),
            ((503, {}, b"<html>"), keyside.NotYet, "no reason is given"),
            ((500, {}, b'{"detail": 7}'), keyside.Refused, "no reason is given"),
            ((302, {}, b""), keyside.NotUnderstood, "same version"),
        ]
        for reply, kind, text in rows:
            with self.subTest(text), fake.FakeAgent(fake.always(reply)):
                with self.assertRaisesRegex(kind, text) as caught:
                    keyside.get_secret("a")
                self.assertIsInstance(caught.exception, keyside.KeysideError)
                self.assertNotIn("\n", str(caught.exception))

    def test_a_list_of_another_shape_is_not_understood(self) -> None:
        for body in (b"[]", b"{}", b"no", b'{"secrets": [{"name": "a"}]}', b'{"secrets": 1}'):
            with self.subTest(body), fake.FakeAgent(fake.always((200, {}, body))):
                self.assertRaises(keyside.NotUnderstood, keyside.secrets)

    def test_names_are_checked_before_anybody_is_asked(self) -> None:
        for name in ("", "a/b", "../x", "a b", "ä", 128 * "a", "a\n"):
            with self.subTest(name):
                self.assertRaises(keyside.InvalidName, keyside.get_secret, name)
        self.assertRaisesRegex(keyside.InvalidName, "is 'wandb-api-key' meant", keyside.get_secret, "wandb_api_key")
        self.assertRaisesRegex(keyside.InvalidName, "not a NoneType", keyside.get_secret, None)

    def test_no_error_holds_a_value(self) -> None:
        broken = fake.value(SECRET[:5])
        broken[1]["Content-Length"] = "999"
        cut = fake.value(b"4\r\n" + SECRET[:4])
        cut[1]["Transfer-Encoding"] = "chunked"
        for reply, kind in ((fake.value(SECRET), keyside.NotText), (broken, keyside.NoAgent), (cut, keyside.NoAgent)):
            with self.subTest(kind), fake.FakeAgent(fake.always(reply)):
                with self.assertRaises(kind) as caught:
                    keyside.get_secret("a")
                error = caught.exception
                self.assertIsNone(error.__context__)
                shown = traceback.TracebackException.from_exception(error, capture_locals=True)
                self.assertNotIn("s3cr", "".join(shown.format()))
        self.assertNotIn("s3cret", repr(_connection.Answer(200, None, SECRET)))

    def test_an_answer_without_end_is_given_up(self) -> None:
        with mock.patch.object(_connection, "ANSWER_BYTES_MAX", 3), fake.FakeAgent(fake.always(fake.value(b"1234"))):
            self.assertRaises(keyside.NotUnderstood, keyside.get_secret, "a")


class NobodyThere(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "agent.sock"
        patch = mock.patch.dict(os.environ, KEYSIDE_SOCKET=str(self.path), DB_PASSWORD="never")
        patch.start()
        self.addCleanup(patch.stop)

    def listener(self) -> sockets.socket:
        listener = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(str(self.path))
        return listener

    def test_without_an_agent_the_error_says_what_to_do(self) -> None:
        with self.assertRaisesRegex(keyside.NoAgent, r"No such file.*keyside run -- ….*ensure_agent") as caught:
            keyside.get_secret("db-password")
        self.assertIn(str(self.path), str(caught.exception))
        self.listener()  # which does not listen
        self.assertRaisesRegex(keyside.NoAgent, "Connection refused", keyside.secrets)

    def test_a_path_that_no_socket_can_have_is_an_answer_too(self) -> None:
        with mock.patch.dict(os.environ, KEYSIDE_SOCKET="/" + 200 * "a"):
            self.assertRaisesRegex(keyside.NoAgent, "too long", keyside.secrets)

    def test_an_agent_that_does_not_answer_is_given_up(self) -> None:
        self.listener().listen()
        with mock.patch.object(_connection, "ANSWER_SECONDS", 0.05):
            self.assertRaisesRegex(keyside.NoAgent, "does not answer", keyside.secrets)

    def test_a_full_queue_is_waited_for_and_given_up_in_the_end(self) -> None:
        listener = self.listener()
        listener.listen(0)
        waiting = []
        for _ in range(10):
            one = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
            self.addCleanup(one.close)
            one.setblocking(False)
            waiting.append(one)
            try:
                one.connect(str(self.path))
            except BlockingIOError:
                break
        else:
            self.fail("the queue is never full")
        with mock.patch.object(_connection, "QUEUE_SECONDS", 0.05):
            self.assertRaisesRegex(keyside.NoAgent, "temporarily unavailable", keyside.secrets)

        def serve() -> None:
            for _ in range(len(waiting)):
                end, _ = listener.accept()
                self.addCleanup(end.close)
            end.recv(4096)
            body = fake.listing([])[2]
            end.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

        thread = threading.Thread(target=serve, daemon=True)

        def pause(_seconds: float) -> None:
            # The first pause is when room is made, so that the first try is certain to find none.
            if thread.ident is None:
                thread.start()

        with mock.patch("time.sleep", pause):
            self.assertEqual(keyside.secrets(), {})
        thread.join()
