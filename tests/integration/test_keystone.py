"""Keystone's own middleware in front of the application, against a Keystone on loopback."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient

from staging_api.bootstrap import build
from staging_api.db.engine import Database
from staging_api.settings import Settings

# The middleware brings libraries whose deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("default")

CALLERS = {"of-alice": ("alice", ["member"]), "of-boss": ("boss", ["admin", "member"])}
RULES = "viewer:*,stager:roles=member,operator:roles=admin"
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
"""


def token(name: str, roles: list[str], url: str) -> dict[str, Any]:
    """What the Keystone at `url` says of a token."""
    now = datetime.now(UTC)
    default = {"id": "default", "name": "Default"}
    endpoints = [
        {"interface": kind, "region": "one", "region_id": "one", "url": url}
        for kind in ("public", "internal", "admin")
    ]
    return {
        "token": {
            "methods": ["password"],
            "issued_at": now.isoformat().replace("+00:00", "Z"),
            "expires_at": (now + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
            "user": {"id": f"id-of-{name}", "name": name, "domain": default},
            "project": {"id": "p", "name": "builds", "domain": default},
            "roles": [{"id": role, "name": role} for role in roles],
            "catalog": [{"type": "identity", "name": "keystone", "endpoints": endpoints}],
        }
    }


class Answering(BaseHTTPRequestHandler):
    """As much of Keystone as its middleware asks for."""

    def do_GET(self) -> None:
        asked = self.headers.get("X-Subject-Token")
        if asked is None:
            self._answer(200, self._versions())
        elif asked in CALLERS:
            self._answer(200, token(*CALLERS[asked], self._url()))
        else:
            self._answer(404, {"error": {"code": 404, "message": "no such token"}})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        assert b"open-sesame" in self.rfile.read(length)
        made = token("staging", ["service"], self._url())
        self._answer(201, made, {"X-Subject-Token": "of-service"})

    def _versions(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self._url()}]
        version = {"id": "v3.14", "status": "stable", "links": links}
        return {"version": version, "versions": {"values": [version]}}

    def _url(self) -> str:
        return f"http://{self.headers['Host']}/v3/"

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def keystone() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v3"
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(
    keystone: str, database_url: str, database: Database, tmp_path: Path
) -> Iterator[TestClient]:
    config = tmp_path / "keystone.conf"
    config.write_text(CONFIG.format(url=keystone))
    made = build(
        Settings.from_env(
            database_url=database_url,
            home=tmp_path,
            auth="keystone",
            keystone_config=config,
            role_rules=RULES,
        )
    )
    served = made.wsgi()
    # The test client looks at the signature of a function, and this is an object of WebOb's.
    yield TestClient(lambda environ, start: served(environ, start))  # noqa: PLW0108
    made.close()


def call(client: TestClient, method: str, path: str, token: str | None, **headers: str) -> int:
    if token is not None:
        headers["X-Auth-Token"] = token
    return client.simulate_request(method, f"/api/v1.0{path}", headers=headers).status_code


def test_roles_of_keystone_are_turned_into_ours(client: TestClient):
    lock = "/locks/01JD0000000000000000000000"
    assert call(client, "GET", "/locks", "of-alice") == 200
    assert call(client, "POST", "/stagings", "of-alice") == 400
    assert call(client, "DELETE", lock, "of-alice") == 403
    assert call(client, "DELETE", lock, "of-boss") == 400


def test_an_unknown_token_and_none_are_refused_in_our_own_form(client: TestClient):
    assert call(client, "GET", "/locks", "of-nobody") == 401
    answer = client.simulate_get("/api/v1.0/locks")
    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")


def test_a_caller_cannot_write_the_middlewares_headers(client: TestClient):
    forged = {
        "X-Identity-Status": "Confirmed",
        "X-User-Name": "boss",
        "X-Roles": "admin",
    }
    answer = client.simulate_get("/api/v1.0/locks", headers=forged)
    assert answer.status_code == 401


def test_probes_need_no_token(client: TestClient):
    assert client.simulate_get("/readyz").status_code == 200
