"""The command of a job: it shows who its parents are, leaves an orphan behind, and ends with a code of its own when told to."""

import hashlib
import os
import pathlib
import signal
import sys
import time

DEADLINE_SECONDS = 30


def leave_an_orphan():
    """Starts a process whose parent ends at once; gives its id."""
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        orphan = os.fork()
        if orphan:
            os.write(writing, str(orphan).encode())
        else:
            while os.getppid() != 1:
                time.sleep(0.01)
        os._exit(0)
    os.waitpid(parent, 0)
    return int(os.read(reading, 16))


def is_gone(process):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if not pathlib.Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.01)
    return False


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    value = os.environ["WANDB_API_KEY"]
    print("variable", hashlib.sha256(value.encode()).hexdigest()[:8])
    print("first process", pathlib.Path("/proc/1/comm").read_text().strip(), "and parent", os.getppid())
    print("orphan reaped", is_gone(leave_an_orphan()))
    print("waits", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
