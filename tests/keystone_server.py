"""Loopback server with the part of OpenStack Keystone that its middleware uses; it can fail."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import LoopbackServer

CONFIG = """
[keystone_authtoken]
auth_type = password
auth_url = {url}
www_authenticate_uri = {url}
username = staging
password = open-sesame
project_name = service
user_domain_id = default
project_domain_id = default
http_request_max_retries = 0
# What is remembered is for the service to decide, and for tests to see.
token_cache_time = -1
"""
DEFAULT = {"id": "default", "name": "Default"}


def scoped(name: str, *roles: str, **token: Any) -> dict[str, Any]:
    """Return Keystone's description of a token; the default is of the default domain."""
    now = datetime.now(UTC)
    return {
        "methods": ["password"],
        "issued_at": now.isoformat().replace("+00:00", "Z"),
        "expires_at": (now + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "user": {"id": f"id-of-{name}", "name": name, "domain": DEFAULT},
        "project": {"id": "p", "name": "builds", "domain": DEFAULT},
        "roles": [{"id": f"id-of-{role}", "name": role} for role in roles],
        **token,
    }


@dataclass
class Keystone:
    """The server: tokens by their text, and its current fault.

    Attributes:
        wrong: called to answer instead of the server, if set.
        asked: the tokens that were validated.
        posts: number of requests for a new token.
        endpoints: addresses in the catalog by service type, besides the server's own.
    """

    url: str = ""
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    wrong: "Callable[[Answering], None] | None" = None
    asked: list[str] = field(default_factory=list)
    posts: int = 0
    endpoints: dict[str, str] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)


class Answering(BaseHTTPRequestHandler):
    """Handler of requests to the server."""

    keystone: Keystone

    def do_GET(self) -> None:
        asked = self.headers.get("X-Subject-Token")
        if asked is not None:
            self.keystone.asked.append(asked)
        if self.keystone.wrong is not None:
            with suppress(OSError):
                self.keystone.wrong(self)
        elif asked is None:
            self.answer(200, self._versions())
        elif asked in self.keystone.tokens:
            self.answer(200, {"token": self._with_catalog(self.keystone.tokens[asked])})
        else:
            self.answer(404, {"error": {"code": 404, "message": "no such token"}})

    def do_POST(self) -> None:
        self.keystone.posts += 1
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if self.keystone.wrong is not None:
            with suppress(OSError):
                self.keystone.wrong(self)
        else:
            self._log_in(json.loads(body)["auth"]["identity"])

    def _log_in(self, identity: dict[str, Any]) -> None:
        """Return a token for a password, the same for every user, or for another token."""
        user = identity.get("password", {}).get("user", {})
        given = identity.get("token", {}).get("id")
        if given not in self.keystone.tokens and user.get("password") != "open-sesame":
            self.answer(401, {"error": {"code": 401, "message": "wrong password"}})
            return
        name = given or f"of-{user['name']}"
        token = self.keystone.tokens.get(name)
        if token is None:
            name, token = "of-service", scoped("staging", "service")
        made = {"token": self._with_catalog(token)}
        self.answer(201, made, {"X-Subject-Token": name})

    def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        """Send a response with JSON; a text is sent unchanged."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

    def drip(self) -> None:
        """Send one byte of the response at intervals, endlessly."""
        self.send_response(200)
        self.end_headers()
        while not self.keystone.stopping.wait(0.2):
            self.wfile.write(b" ")

    def hang(self) -> None:
        """Send no response."""
        self.keystone.stopping.wait()

    def _versions(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self._url()}]
        version = {"id": "v3.14", "status": "stable", "links": links}
        return {"version": version, "versions": {"values": [version]}}

    def _with_catalog(self, token: dict[str, Any]) -> dict[str, Any]:
        catalog = [
            {
                "type": service,
                "name": service,
                "endpoints": [
                    {"interface": kind, "region": "one", "region_id": "one", "url": url}
                    for kind in ("public", "internal", "admin")
                ],
            }
            for service, url in {"identity": self._url(), **self.keystone.endpoints}.items()
        ]
        return {**token, "catalog": catalog}

    def _url(self) -> str:
        return f"http://{self.headers['Host']}/v3/"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Write no log."""


@contextmanager
def keystone(port: int = 0) -> Iterator[Keystone]:
    """Run a Keystone for the block."""
    made = Keystone()
    handler = type("Handler", (Answering,), {"keystone": made})
    server = LoopbackServer(("127.0.0.1", port), handler)
    made.url = f"http://127.0.0.1:{server.server_port}/v3"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def later(seconds: float) -> str:
    """Return a future time in Keystone's format."""
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat().replace("+00:00", "Z")
