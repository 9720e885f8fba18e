"""A step that nobody wraps: it sees to an agent itself, and may find that the agent is gone."""

import sys

import keyside

for _ in sys.stdin:
    keyside.ensure_agent(secrets=["db-password", "api-token"], timeout=30)
    print("value", keyside.get_secret("db-password"), flush=True)
