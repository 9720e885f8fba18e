"""A training loop that never holds on to its token: it reads it where it is used, and hears of a rotation.

    keyside run --secret tracker-token -- python training.py --steps 1000

The model is a stand-in. In a PyTorch program the same lines stand around `optimizer.step()`; workers of a `DataLoader` may
call `keyside.get_secret` as well, each for itself.
"""

from __future__ import annotations

import argparse
import hashlib
import threading

import keyside

SECRET = "tracker-token"  # noqa: S105 - its name


class Tracker:
    """Stands for a service that wants a token with every call."""

    def log(self, step: int, loss: float) -> None:
        """Reads the token at the moment of the call, which takes well under a millisecond."""
        token = keyside.get_secret(SECRET)
        print(f"step {step}: loss {loss:.3f}, signed in with {fingerprint(token)}", flush=True)


def fingerprint(token: str) -> str:
    """What may be shown of a secret: the start of its hash."""
    return hashlib.sha256(token.encode()).hexdigest()[:8]


def train(steps: int, pause_seconds: float) -> None:
    """Trains for so many steps; after a rotation, says so."""
    tracker = Tracker()
    over = threading.Event()

    def rotated(token: str) -> None:
        # The place to give the new token to a client that keeps one.
        print(f"rotated: now {fingerprint(token)}", flush=True)

    with keyside.on_change(SECRET, rotated):
        loss = 1.0
        for step in range(steps):
            loss *= 0.99
            tracker.log(step, loss)
            over.wait(pause_seconds)


def main() -> None:
    """Waits for the agent, then trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--pause", type=float, default=0.1, metavar="SECONDS", help="how long a step takes")
    arguments = parser.parse_args()
    keyside.wait_ready(timeout=60)
    train(arguments.steps, arguments.pause)


if __name__ == "__main__":
    main()
