"""An agent for tests: it answers over a Unix socket whatever the test says."""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import tempfile
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Callable
from unittest import mock

Reply = tuple[int, dict[str, str], bytes]
Answers = Callable[[str, str, dict[str, str]], Reply]

DEADLINE_SECONDS = 30.0


class FakeAgent:
    """Answers with the outcome of `answers(method, target, headers)` while the block lasts; KEYSIDE_SOCKET names it."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.questions: list[tuple[str, str, dict[str, str]]] = []
        self.folder = tempfile.TemporaryDirectory()
        self.socket = Path(self.folder.name) / "agent.sock"

    def __enter__(self) -> FakeAgent:
        self.start()
        self.environment = mock.patch.dict(os.environ, KEYSIDE_SOCKET=str(self.socket))
        self.environment.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.environment.stop()
        self.stop()
        self.folder.cleanup()

    def start(self) -> None:
        self.server = _Server(str(self.socket), _handler(self))
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.socket.unlink(missing_ok=True)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


def _handler(agent: FakeAgent) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            agent.questions.append((self.command, self.path, headers))
            status, more, body = agent.answers(self.command, self.path, headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                # Who gives up does not wait for the rest.
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)
            self.close_connection = True

        do_GET = do_HEAD = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


def problem(status: int, code: str, detail: str) -> Reply:
    document = {"title": "no", "status": status, "code": code, "detail": detail}
    return status, {"Content-Type": "application/problem+json"}, json.dumps(document).encode()


def value(body: bytes, tag: str = '"' + 32 * "a" + '"') -> Reply:
    return 200, {"ETag": tag}, body


def always(reply: Reply) -> Answers:
    return lambda _method, _target, _headers: reply


def listing(items: Iterable[dict[str, object]]) -> Reply:
    return 200, {"ETag": '"00"'}, json.dumps({"generation": "1", "secrets": list(items)}).encode()


def item(name: str) -> dict[str, object]:
    return {
        "name": name,
        "state": "fresh",
        "version": 32 * "a",
        "content_type": None,
        "created": "2026-01-02T03:04:05Z",
        "updated": "2026-01-02T03:04:05.123456789Z",
        "expires": None,
        "fetched": "2026-01-02T03:04:05.5Z",
        "age_seconds": 61,
        "stale": False,
    }
