"""A small training script under `keyside run`: a variable at its start, and the next version through the Python package."""

import hashlib
import os
import threading

import keyside


def fingerprint(value: str) -> str:
    """What may be shown of a secret: its length and the start of its hash."""
    return f"{len(value)} bytes, sha256 {hashlib.sha256(value.encode()).hexdigest()[:8]}"


def main() -> None:
    """Trains until the token has been rotated."""
    changed = threading.Event()
    with keyside.on_change("api-token", lambda _token: changed.set()):
        print(f"epoch 1: api-token from the variable API_TOKEN ({fingerprint(os.environ['API_TOKEN'])})", flush=True)
        if not changed.wait(60):
            raise SystemExit("nothing has changed")
        print(f"epoch 2: rotated; keyside.get_secret gives {fingerprint(keyside.get_secret('api-token'))}", flush=True)


if __name__ == "__main__":
    main()
