"""Waiting for an agent, and for what it was configured with."""

from __future__ import annotations

import json
import unittest
from unittest import mock

import keyside
from keyside import _ready

from . import fake

NOT_READY = fake.problem(503, "not_ready", "waiting for db-password")


class Waiting(unittest.TestCase):
    def test_an_agent_that_comes_late_is_waited_for(self) -> None:
        replies = [NOT_READY, NOT_READY, (200, {}, b'{"status": "ready"}')]
        with fake.FakeAgent(lambda *_: replies.pop(0)) as agent:
            agent.stop()
            pauses = 0

            def pause(_seconds: float) -> None:
                nonlocal pauses
                pauses += 1
                if pauses == 2:
                    agent.start()

            with mock.patch("time.sleep", pause):
                keyside.wait_ready()
            self.assertEqual(pauses, 4)
            self.assertEqual(replies, [])

    def test_the_last_reason_is_the_error(self) -> None:
        with fake.FakeAgent(fake.always(NOT_READY)) as agent:
            self.assertRaisesRegex(keyside.NotYet, "is not ready: waiting for db-password", keyside.wait_ready, 0.0)
            agent.stop()
            self.assertRaisesRegex(keyside.NoAgent, "No such file", keyside.wait_ready, 0.0)

    def test_what_no_waiting_mends_is_told_at_once(self) -> None:
        with fake.FakeAgent(fake.always(fake.problem(403, "forwarded", "through a proxy"))):
            self.assertRaisesRegex(keyside.Refused, "403: through a proxy", keyside.wait_ready)

    def test_single_secrets_are_there_awaited_or_never_to_come(self) -> None:
        awaited = {**fake.item("late"), "version": None, "state": "awaited"}
        code: list[str] = []
        words = None

        def answers(_method: str, target: str, _headers: dict[str, str]) -> fake.Reply:
            if target == "/v1/secrets":
                return fake.listing([fake.item("there"), awaited])
            failures = [{"name": "late", "code": one, "message": words} for one in code]
            return 200, {}, json.dumps({"failures": failures}).encode()

        with fake.FakeAgent(answers) as agent:
            self.assertIsNone(_ready.look_for(agent.socket, ["there"]))
            self.assertRegex(str(_ready.look_for(agent.socket, ["there", "late"])), "'late' .* is being fetched")
            code.append("denied")
            self.assertRegex(str(_ready.look_for(agent.socket, ["late"])), "yet \\(denied\\): see the agent's log")
            words = "the identity has no role"
            self.assertRegex(str(_ready.look_for(agent.socket, ["late"])), "yet \\(denied\\): the identity has no role")
            code[0] = "not_found"
            self.assertRaisesRegex(keyside.SecretAbsent, "not_found", _ready.look_for, agent.socket, ["late"])
            self.assertRaisesRegex(keyside.SecretAbsent, "no secret 'other'", _ready.look_for, agent.socket, ["other"])
