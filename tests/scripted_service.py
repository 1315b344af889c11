"""Loopback service whose responses are scripted by the test; it records its requests."""

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from threading import Event, Thread
from typing import Any

from tests.loopback import LoopbackServer

STAGING_ID = "01JD0000000000000000000001"
STAGINGS = "/api/v1.0/stagings"


@dataclass(frozen=True)
class Seen:
    """A received request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


#: Sends the response to one request, or fails to.
Step = Callable[[BaseHTTPRequestHandler], None]
#: Chooses the response to a request.
Script = Callable[[Seen], Step]


@dataclass(frozen=True)
class ScriptedService:
    """Address of the service, and the requests so far."""

    url: str
    seen: list[Seen] = field(default_factory=list)


@contextmanager
def service(script: Script, port: int = 0) -> Iterator[ScriptedService]:
    """Run a service with the responses of `script` for the block."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = dict(self.headers)
            is_json = "json" in headers.get("Content-Type", "")
            given = json.loads(body) if body and is_json else body or None
            seen = Seen(self.command, self.path, headers, given)
            running.seen.append(seen)
            script(seen)(self)

        do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = LoopbackServer(("127.0.0.1", port), Answering)
    running = ScriptedService(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def in_turn(*steps: Step) -> Script:
    """Return a script with one step for each request; further requests get a final error."""
    left = list(steps)
    return lambda _: left.pop(0) if left else says(418, problem("asked_too_often"))


def says(status: int, document: object = None, raw: bytes | None = None, **headers: str) -> Step:
    """Return a complete response; header names are written with underscores."""
    body = json.dumps(document).encode() if raw is None else raw

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        if status != 304:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if status != 304 and request.command != "HEAD":
            request.wfile.write(body)

    return answer


def hangs_up(request: BaseHTTPRequestHandler) -> None:
    """Close the connection without a response: the reply is lost."""
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


def cut_off(step: Step, after_bytes: int) -> Step:
    """Send the response, but close the connection after this number of body bytes."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        there, request.wfile = request.wfile, BytesIO()
        step(request)
        head, empty_line, body = request.wfile.getvalue().partition(b"\r\n\r\n")
        there.write(head + empty_line + body[:after_bytes])
        request.wfile = there
        hangs_up(request)

    return answer


def silent_until(event: Event) -> Step:
    """Accept the request, and send nothing until the event is set."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        event.wait(30)
        hangs_up(request)

    return answer


def problem(code: str, retryable: bool = False, **members: object) -> dict[str, object]:
    """Return a problem document."""
    return {
        "type": f"urn:staging-api:{code}",
        "title": code.replace("_", " "),
        "detail": f"the detail of {code}",
        "code": code,
        "retryable": retryable,
        "request_id": "r-1",
        **members,
    }


def lock_held(retry_after: str = "0") -> Step:
    """Return a 409 because of a lock that another caller holds."""
    lock = {
        "id": "01JD000000000000000000000L",
        "kind": "archive",
        "scope": "gs://builds/board/R17-1",
        "holder": "pod-3",
        "expires_at": "2026-11-22T10:00:00Z",
    }
    return says(409, problem("lock_held", retryable=True, lock=lock), Retry_After=retry_after)


def staging(state: str = "staged", **members: object) -> dict[str, object]:
    """Return a staging with one artifact, as the service represents it."""
    return {
        "id": STAGING_ID,
        "archive_url": "gs://builds/board/R17-1",
        "state": state,
        "requested": ["full_payload"],
        "caller": "anonymous",
        "reference_id": None,
        "created_at": "2026-11-22T09:00:00.5Z",
        "foreground_staged_at": None,
        "finished_at": None,
        "lock_id": None,
        "attempt": 1,
        "progress": {
            "bytes_done": 5,
            "bytes_total": 10,
            "bytes_per_second": None,
            "eta_seconds": None,
        },
        "artifacts": [artifact(state="staged" if state == "staged" else "staging")],
        "error": None,
        **members,
    }


def artifact(**members: object) -> dict[str, object]:
    """Return an artifact within a staging."""
    return {
        "id": "01JD000000000000000000000A",
        "name": "full_payload",
        "phase": "foreground",
        "state": "staged",
        "path": "board/R17-1/update.gz",
        "url": "/static/board/R17-1/update.gz",
        "size_bytes": 12_300_000,
        "sha256": "0" * 64,
        "bytes_done": 10,
        "bytes_total": 10,
        "error": None,
        **members,
    }


def lock(**members: object) -> dict[str, object]:
    """Return a lock as the list of locks represents it."""
    return {
        "id": "01JD000000000000000000000L",
        "kind": "archive",
        "scope": "gs://builds/board/R17-1",
        "caller": "anonymous",
        "holder": "pod-3",
        "reference_id": None,
        "acquired_at": "2026-11-22T09:00:00Z",
        "expires_at": "2026-11-22T10:00:00Z",
        "ended_at": None,
        "outcome": None,
        "ended_by": None,
        "reason": None,
        **members,
    }
