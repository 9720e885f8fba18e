"""The example's engine, over SQLite, which knows no passwords: what it would be given is printed and taken out."""

import sys
import time
from typing import Any

import sqlalchemy
from database import engine_for
from sqlalchemy import event

import keyside

keyside.wait_ready(timeout=30)
engine = engine_for(f"sqlite:///{sys.argv[1]}")


def show(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
    print("connects with", parameters.pop("password"), flush=True)


def use() -> None:
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 41 + 1")).scalar() == 42


event.listen(engine, "do_connect", show)
use()
use()
assert engine.pool.checkedin() == 1
print("pooled", flush=True)
# The rotation empties the pool.
deadline = time.monotonic() + 30
while engine.pool.checkedin():
    assert time.monotonic() < deadline, "the rotation is not noticed"
    time.sleep(0.01)
use()
