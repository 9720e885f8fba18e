"""Watching: what is handed on, when, and what does not end it."""

from __future__ import annotations

import os
import queue
import threading
import time
import unittest
from unittest import mock

import keyside
from keyside import _watch

from . import fake


class Vault:
    """Values that change under a fake agent, which answers a waiting question when they do."""

    def __init__(self, value: bytes) -> None:
        self.changed = threading.Condition()
        self.value, self.version = value, 1
        self.refusal: fake.Reply | None = None

    def rotate(self, value: bytes) -> None:
        with self.changed:
            self.value, self.version = value, self.version + 1
            self.changed.notify_all()

    def refuse(self, refusal: fake.Reply | None) -> None:
        with self.changed:
            self.refusal = refusal
            self.changed.notify_all()

    def answer(self, _method: str, target: str, headers: dict[str, str]) -> fake.Reply:
        with self.changed:
            if "wait" in target:
                known = headers.get("if-none-match")
                self.changed.wait_for(lambda: self.tag != known or self.refusal, fake.DEADLINE_SECONDS)
            return self.refusal or fake.value(self.value, self.tag)

    @property
    def tag(self) -> str:
        return f'"{self.version:032x}"'


class Watching(unittest.TestCase):
    def setUp(self) -> None:
        self.vault = Vault(b"first")
        self.agent = fake.FakeAgent(self.vault.answer)
        self.agent.__enter__()
        self.addCleanup(self.agent.__exit__, None, None, None)
        patch = mock.patch.object(_watch, "PAUSE_SECONDS_FIRST", 0.01)
        patch.start()
        self.addCleanup(patch.stop)
        self.seen: queue.Queue[object] = queue.Queue()

    def next(self) -> object:
        return self.seen.get(timeout=fake.DEADLINE_SECONDS)

    def test_each_new_version_is_handed_on_once(self) -> None:
        with keyside.on_change("a", self.seen.put) as watch, keyside.on_change_bytes("a", self.seen.put):
            self.assertEqual((watch.name, watch.active, repr(watch)), ("a", True, "<Watch 'a' active>"))
            for value in ("second", "third"):
                self.vault.rotate(value.encode())
                self.assertEqual({self.next(), self.next()}, {value, value.encode()})
        self.assertFalse(watch.active)
        self.assertEqual(repr(watch), "<Watch 'a' ended>")
        self.assertTrue(self.seen.empty())

    def test_a_change_between_reading_and_watching_is_not_missed(self) -> None:
        self.assertEqual(keyside.get_secret("a"), "first")
        self.vault.rotate(b"second")
        with keyside.on_change("a", self.seen.put):
            self.assertEqual(self.next(), "second")

    def test_the_present_value_alone_is_no_change(self) -> None:
        with keyside.on_change("a", self.seen.put):
            pass
        self.assertTrue(self.seen.empty())
        self.assertEqual(self.agent.questions[0][0], "HEAD", "no value travels")

    def test_the_first_value_of_a_secret_that_is_not_there_yet_is_a_change(self) -> None:
        self.vault.refuse(fake.problem(503, "not_published", "not fetched"))
        with keyside.on_change("b", self.seen.put):
            self.vault.refuse(None)
            self.assertEqual(self.next(), "first")

    def test_who_may_not_read_it_is_told_at_once(self) -> None:
        self.vault.refuse(fake.problem(404, "not_found", "x"))
        self.assertRaises(keyside.SecretAbsent, keyside.on_change, "a", self.seen.put)

    def test_a_callback_that_raises_ends_nothing_and_shows_no_value(self) -> None:
        def callback(value: str) -> None:
            self.seen.put(value)
            raise SystemExit(f"cannot log in with {value}")

        with self.assertLogs("keyside", "ERROR") as log, keyside.on_change("a", callback):
            self.vault.rotate(b"second")
            self.next()
            self.vault.rotate(b"third")
            self.next()
        self.assertIn("the callback for secret 'a' raised SystemExit", log.output[0])
        self.assertIn("test_watch.py", log.output[0], "where it was")
        self.assertFalse(any("second" in line or record.exc_info for line, record in zip(log.output, log.records)))

    def test_what_is_no_text_is_not_handed_on_as_text(self) -> None:
        log = mock.patch.object(_watch.LOG, "error", lambda text, *rest: self.seen.put(text % rest))
        with log, keyside.on_change("a", self.seen.put), keyside.on_change_bytes("a", self.seen.put):
            self.vault.rotate(b"\xff1")
            said = "the secret 'a' is not UTF-8: read it with get_secret_bytes; the callback was not called"
            self.assertEqual({self.next(), self.next()}, {b"\xff1", said})
            self.vault.rotate(b"third")
            self.assertEqual({self.next(), self.next()}, {"third", b"third"})

    def test_an_agent_that_is_gone_for_a_while_and_a_revoked_secret_end_nothing(self) -> None:
        log = mock.patch.object(_watch.LOG, "warning", lambda text, *rest: self.seen.put(text % rest))
        with log, keyside.on_change("a", self.seen.put):
            self.vault.refuse(fake.problem(410, "revoked", "disabled"))
            self.assertRegex(
                str(self.next()), "cannot watch secret 'a' for now: .* was revoked: disabled; trying again"
            )
            self.agent.stop()
            self.assertRegex(
                str(self.next()), "cannot watch secret 'a' for now: (no agent answers|the agent at .* broke off)"
            )
            self.vault.refuse(None)
            self.vault.rotate(b"second")
            self.agent.start()
            self.assertEqual(self.next(), "watching secret 'a' again")
            self.assertEqual(self.next(), "second")

    def test_the_callback_may_end_its_own_watch(self) -> None:
        ended = threading.Event()

        def callback(_value: str) -> None:
            watch.close()
            ended.set()

        watch = keyside.on_change("a", callback)
        self.vault.rotate(b"second")
        self.assertTrue(ended.wait(fake.DEADLINE_SECONDS))
        watch.close()
        self.assertFalse(watch.active)

    def test_a_forked_child_reads_and_watches_for_itself_and_leaves_its_parent_alone(self) -> None:
        # A question that is ended would be asked again far too late.
        patience = mock.patch.object(_watch, "PAUSE_SECONDS_FIRST", 2 * fake.DEADLINE_SECONDS)
        with patience, keyside.on_change("a", self.seen.put) as watch:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    seen: queue.Queue[str] = queue.Queue()
                    alone = not watch.active
                    watch.close()
                    with keyside.on_change("a", seen.put):
                        second = seen.get(timeout=fake.DEADLINE_SECONDS)
                    code = 0 if alone and second == "second" and keyside.get_secret("a") == second else 2
                finally:
                    os._exit(code)
            self.wait_for_two_that_wait()
            self.vault.rotate(b"second")
            self.assertEqual(self.next(), "second", "the parent's question was not ended by the child")
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def wait_for_two_that_wait(self) -> None:
        deadline = time.monotonic() + fake.DEADLINE_SECONDS
        while sum("wait" in target for _, target, _ in self.agent.questions) < 2:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
