"""Reads what there is, and is refused what there is not."""

import keyside

keyside.wait_ready(timeout=30)
print("value", keyside.get_secret("db-password"), flush=True)
print("bytes", keyside.get_secret_bytes("db-password").hex(), flush=True)
for name, info in keyside.secrets().items():
    assert info.fetched is not None and info.version is not None and not info.stale
    print("listed", name, info.state, flush=True)
for name in ("no-such-thing", "hidden"):
    try:
        keyside.get_secret(name)
    except keyside.SecretAbsent as error:
        print("absent", error, flush=True)
