"""An OpenID provider on loopback, which can rotate its keys and go away; and its tokens."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key

AUDIENCE = "staging-api"


@dataclass
class Issuer:
    """The provider: its keys, newest last, and how often they were asked for."""

    url: str = ""
    keys: list[Key] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    away: bool = False
    #: Instead of the set of keys, if given.
    says: object = None
    #: Where the discovery document says that the keys are; "own": here.
    keys_at: object = "own"
    #: "hang", "hang up", "drip", "drip head" or nothing unusual.
    manner: str = ""
    let_go: threading.Event = field(default_factory=threading.Event)
    credentials: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on, and no longer publish the others."""
        self.keys = [new_key()]

    def token(self, key: Key | None = None, **claims: Any) -> str:
        """A token of mine; a claim given as None is left out."""
        signing = key or self.keys[-1]
        told = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": int(time.time()) + 600,
            **claims,
        }
        header = {"alg": "ES256", **({"kid": signing.kid} if signing.kid else {})}
        return jwt.encode(header, {k: v for k, v in told.items() if v is not None}, signing)

    def document(self, path: str) -> object:
        """What is at `path`."""
        if path == "/.well-known/openid-configuration":
            keys_at = f"{self.url}/keys" if self.keys_at == "own" else self.keys_at
            return {"issuer": self.url, "jwks_uri": keys_at}
        if path == "/keys" and self.says is not None:
            return self.says
        if path == "/keys":
            return {"keys": [key.as_dict(private=False) for key in self.keys]}
        return None


def new_key() -> Key:
    """A key pair with an id."""
    key = ECKey.generate_key("P-256", {"use": "sig"})
    key.ensure_kid()
    return key


@contextmanager
def issuing() -> Iterator[Issuer]:
    """A provider that answers for the block."""
    issuer = Issuer()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            issuer.credentials.append(self.headers["Authorization"])
            with suppress(OSError):
                self._answer()

        def _answer(self) -> None:
            if issuer.manner == "hang":
                issuer.let_go.wait()
                return
            if issuer.manner == "hang up":
                return
            if issuer.manner == "drip head":
                self._drip(b"X")
            if issuer.manner == "drip":
                self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
                self._drip(b" ")
            document = None if issuer.away else issuer.document(self.path)
            self.send_response(503 if document is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def _drip(self, byte: bytes) -> None:
            while not issuer.let_go.wait(0.05):
                self.wfile.write(byte)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
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
