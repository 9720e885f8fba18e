"""Watches a secret through rotations, in a parent and in a child that is forked in the middle."""

import os
import threading

import keyside

DEADLINE_SECONDS = 30


def watch(who: str, rotations: int) -> keyside.Watch:
    changed = threading.Semaphore(0)

    def callback(value: str) -> None:
        print(who, "noticed", value, flush=True)
        changed.release()

    handle = keyside.on_change("db-password", callback)
    print(who, "watches from", keyside.get_secret("db-password"), flush=True)
    for _ in range(rotations):
        assert changed.acquire(timeout=DEADLINE_SECONDS), "a rotation is not noticed"
    return handle


handle = watch("parent", 1)
child = os.fork()
if child == 0:
    assert not handle.active
    watch("child", 1).close()
    os._exit(0)
with handle:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print("child ended", flush=True)
    input()  # until the agent has been started again and the secret rotated
    assert handle.active
print("end with", keyside.get_secret("db-password"), flush=True)
