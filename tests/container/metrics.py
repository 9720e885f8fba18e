"""A container of the same pod under another user: what it is told, and what it can find."""

import os
import signal
import sys

import keyside

DIRECTORY = "/run/keyside"


def attempt(what, action):
    try:
        print(what, "gives", action(), flush=True)
    except (OSError, keyside.KeysideError) as error:
        print(what, "raises", type(error).__name__, flush=True)


def token_files():
    names = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID")
    return [name for name in names if name in os.environ] + [path for path in ("/var/run/secrets/azure",) if os.path.exists(path)]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    attempt("the secret", lambda: keyside.get_secret("db-password"))
    attempt("a secret that is not there", lambda: keyside.get_secret("no-such-thing"))
    attempt("the list", keyside.secrets)
    attempt("the file", lambda: open(f"{DIRECTORY}/secrets/db-password").read())
    attempt("the directory", lambda: os.listdir(f"{DIRECTORY}/secrets"))
    attempt("another socket", lambda: os.remove(f"{DIRECTORY}/agent.sock"))
    attempt("its own root", lambda: open("/app/new", "w"))
    attempt("the identity", token_files)
    print("asked", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
