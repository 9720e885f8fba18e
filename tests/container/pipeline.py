"""A pipeline that reads at its start, from the socket and from a file, and follows each rotation."""

import hashlib
import pathlib
import signal
import threading

import keyside

FILE = pathlib.Path("/run/keyside/secrets/db-password")


def show(where, value):
    print(where, hashlib.sha256(value.encode()).hexdigest()[:8], flush=True)


def follow_file(stopped, value):
    while not stopped.wait(0.05):
        present = FILE.read_text()
        if present != value:
            value = present
            show("file", value)


def main():
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    # Neither of these waits: whoever starts the pipeline has waited for the agent.
    show("socket", keyside.get_secret("db-password"))
    at_start = FILE.read_text()
    show("file", at_start)
    with keyside.on_change("db-password", lambda value: show("socket", value)):
        follow_file(stopped, at_start)
    print("ended", flush=True)


if __name__ == "__main__":
    main()
