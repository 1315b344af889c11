"""Slow network between a client and a pod, with a hook at the most critical moment."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Thread
from typing import Any, Self

import urllib3

from tests.loopback import LoopbackServer

DELAY_SECONDS = 0.020
PASSED = ("If-Modified-Since", "If-Range", "Range")


@dataclass
class SlowFront:
    """Proxy before a pod that adds 20 ms to each request, as a network does.

    Attributes:
        target: the address of the pod.
        after_release: called when a Release was fetched, and before the client gets it.
    """

    target: str
    after_release: Callable[[], None] = lambda: None
    server: LoopbackServer = field(init=False)

    def __enter__(self) -> Self:
        pool = urllib3.PoolManager(maxsize=16, retries=False)
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                time.sleep(DELAY_SECONDS)
                passed = {k: v for k, v in self.headers.items() if k in PASSED}
                got = pool.request("GET", front.target + self.path, headers=passed)
                if self.path.endswith(("/Release", "/InRelease")) and got.status == 200:
                    front.after_release()
                self.send_response(got.status)
                for name in ("Content-Type", "Last-Modified", "ETag"):
                    if name in got.headers:
                        self.send_header(name, got.headers[name])
                self.send_header("Content-Length", str(len(got.data)))
                self.end_headers()
                self.wfile.write(got.data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = LoopbackServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"
