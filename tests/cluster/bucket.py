"""S3 server that logs what was read: ``python -m tests.cluster.bucket PORT LOG``.

It sends bodies at a limited rate, so that a download lasts long enough to be disturbed, and ends
with its standard input.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

_CHUNK_BYTES = 16 << 10
_BYTES_PER_SECOND = 1 << 20

Wsgi = Callable[..., Any]


class Logged:
    """Writes a line for each body that was sent, completely or in part."""

    def __init__(self, app: Wsgi, log: Path) -> None:
        self._app = app
        self._log = log.open("a", buffering=1)
        self._writing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Wsgi) -> Any:
        body = self._app(environ, start_response)
        if environ["REQUEST_METHOD"] != "GET" or environ["PATH_INFO"].count("/") < 2:
            return body
        return self._sent(environ["PATH_INFO"], environ.get("HTTP_RANGE"), b"".join(body))

    def _sent(self, path: str, asked: str | None, body: bytes) -> Iterator[bytes]:
        began, sent = time.time(), 0
        try:
            while sent < len(body):
                chunk = body[sent : sent + _CHUNK_BYTES]
                yield chunk
                sent += len(chunk)
                time.sleep(len(chunk) / _BYTES_PER_SECOND)
        finally:
            line = {"path": path, "range": asked, "began": began, "ended": time.time()}
            with self._writing:
                print(json.dumps({**line, "sent": sent, "of": len(body)}), file=self._log)


class _Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Write no other log."""


def main(port: int, log: Path) -> None:
    """Serve until standard input ends."""
    app = Logged(DomainDispatcherApplication(create_backend_app), log)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
