"""What a refusal of the agent means for who asked."""

from __future__ import annotations

import json
import os

from ._connection import Answer
from ._errors import KeysideError, NotUnderstood, NotYet, Refused, Revoked, SecretAbsent

DETAIL_CHARACTERS_MAX = 500
"""Most of the agent's sentence that is repeated; its sentences are far shorter."""


def refused(answer: Answer, name: str | None = None) -> KeysideError:
    """The error for an answer that is not what was asked for. `name` is the secret that the question was about."""
    if name is not None:
        if answer.status == 404:
            return absent(name)
        if answer.status == 410:
            return Revoked(f"the secret '{name}' was revoked: {detail(answer)}")
        if answer.status == 503:
            return NotYet(f"the secret '{name}' cannot be had now: {detail(answer)}; keyside.wait_ready() waits for it")
    if 400 <= answer.status <= 599:
        return Refused(f"the agent answered {answer.status}: {detail(answer)}")
    return not_understood()


def absent(name: str) -> SecretAbsent:
    """The error for a secret that the agent does not show to this user."""
    return SecretAbsent(f"no secret '{name}': absent, or not readable by uid {os.geteuid()}: see the agent's log")


def not_understood() -> NotUnderstood:
    """The error for an answer that has no known shape."""
    return NotUnderstood("the agent's answer is not understood: are both of the same version?")


def detail(answer: Answer) -> str:
    """The sentence for people in a problem document, made harmless for a terminal."""
    try:
        detail = json.loads(answer.body)["detail"]
    except (ValueError, LookupError, TypeError):
        detail = None
    if not isinstance(detail, str):
        return "no reason is given"
    return "".join(char if char.isprintable() else "?" for char in detail[:DETAIL_CHARACTERS_MAX])
