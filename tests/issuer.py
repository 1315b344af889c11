"""OpenID provider on loopback, which can rotate its keys and become unavailable; and its tokens."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, Key

from tests.loopback import LoopbackServer

AUDIENCE = "staging-api"


@dataclass
class Issuer:
    """The provider: its keys, newest last, and the requests for them."""

    url: str = ""
    keys: list[Key] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    away: bool = False
    #: Document to return instead of the key set, if given.
    says: object = None
    #: Address of the keys in the discovery document; "own": this server.
    keys_at: object = "own"
    #: Fault: "hang", "hang up", "drip", "drip head", or none if empty.
    manner: str = ""
    let_go: threading.Event = field(default_factory=threading.Event)
    #: Status and address of a redirect, with which every request is answered.
    moved: tuple[int, str] | None = None
    content_type: str | None = "application/json"
    credentials: list[str | None] = field(default_factory=list)
    #: By authorization code: the query of the authorization request, and the claims of the user.
    codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on, and stop publishing the others."""
        self.keys = [new_key()]

    def token(self, key: Key | None = None, **claims: Any) -> str:
        """Return a token of this provider; claims that are None are left out."""
        signing = key or self.keys[-1]
        shown = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": int(time.time()) + 600,
            **claims,
        }
        header = {"alg": "ES256", **({"kid": signing.kid} if signing.kid else {})}
        return jwt.encode(header, {k: v for k, v in shown.items() if v is not None}, signing)

    def head(self, found: bool) -> tuple[int, dict[str, str]]:
        """Return the status and headers of a response."""
        headers = {"Content-Type": self.content_type} if self.content_type else {}
        if self.moved is not None:
            status, address = self.moved
            return status, {**headers, "Location": address}
        return 200 if found else 503, headers

    def authorize(self, location: str, **claims: Any) -> tuple[str, str]:
        """Sign in the user who was redirected to `location`; return the code and the state."""
        query = dict(parse_qsl(urlsplit(location).query))
        assert query["code_challenge_method"] == "S256"
        assert query["response_type"] == "code"
        code = secrets.token_urlsafe(8)
        self.codes[code] = query, claims
        return code, query["state"]

    def exchange(self, fields: dict[str, str]) -> dict[str, str] | None:
        """Return the ID token for a code, once, if the verifier matches the code's challenge."""
        query, claims = self.codes.pop(fields.get("code", ""), ({}, {}))
        answer = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(answer).rstrip(b"=").decode()
        same = ("client_id", "redirect_uri")
        if challenge != query.get("code_challenge") or any(fields[n] != query[n] for n in same):
            return None
        given = {"aud": query["client_id"], "nonce": query["nonce"], **claims}
        return {"id_token": self.token(**given)}

    def document(self, path: str) -> object:
        """Return the document at `path`."""
        if path == "/.well-known/openid-configuration":
            keys_at = f"{self.url}/keys" if self.keys_at == "own" else self.keys_at
            return {
                "issuer": self.url,
                "jwks_uri": keys_at,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
            }
        if path == "/keys" and self.says is not None:
            return self.says
        if path == "/keys":
            return {"keys": [key.as_dict(private=False) for key in self.keys]}
        return None


def new_key() -> Key:
    """Return a key pair with an id."""
    key = ECKey.generate_key("P-256", {"use": "sig"})
    key.ensure_kid()
    return key


class Answering(BaseHTTPRequestHandler):
    """Handler of requests to the provider."""

    issuer: Issuer

    def do_GET(self) -> None:
        self.issuer.asked.append(self.path)
        self.issuer.credentials.append(self.headers["Authorization"])
        with suppress(OSError):
            self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        is_form = self.headers["Content-Type"] == "application/x-www-form-urlencoded"
        asked = self.path == "/token" and is_form
        found = self.issuer.exchange(dict(parse_qsl(body))) if asked else None
        self.send_response(400 if found is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(found or {"error": "invalid_grant"}).encode())

    def _answer(self) -> None:
        if self.issuer.manner == "hang":
            self.issuer.let_go.wait()
            return
        if self.issuer.manner == "hang up":
            return
        if self.issuer.manner == "drip head":
            self._drip(b"X")
        if self.issuer.manner == "drip":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
            self._drip(b" ")
        document = None if self.issuer.away else self.issuer.document(self.path)
        status, headers = self.issuer.head(found=document is not None)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def _drip(self, byte: bytes) -> None:
        while not self.issuer.let_go.wait(0.05):
            self.wfile.write(byte)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Write no log."""


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Run a provider for the block."""
    issuer = Issuer()
    server = LoopbackServer(("127.0.0.1", 0), type("Handler", (Answering,), {"issuer": issuer}))
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
