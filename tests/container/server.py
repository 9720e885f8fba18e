"""A server that reads its secrets once, from files, and knows nothing of Keyside."""

import hashlib
import pathlib
import signal
import sys


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    value = pathlib.Path("/run/keyside/secrets/db-password").read_bytes()
    print("serves with", hashlib.sha256(value).hexdigest()[:8], flush=True)
    print("socket", pathlib.Path("/run/keyside/agent.sock").exists(), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
