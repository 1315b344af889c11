"""An OpenID provider on loopback, which can rotate its keys and go away; and its tokens."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
        header = {"alg": "ES256", "kid": signing.kid}
        return jwt.encode(header, {k: v for k, v in told.items() if v is not None}, signing)

    def document(self, path: str) -> dict[str, Any] | None:
        """What is at `path`."""
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
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
            document = None if issuer.away else issuer.document(self.path)
            self.send_response(503 if document is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
