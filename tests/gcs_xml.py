"""XML API of Google Cloud Storage in front of fake-gcs-server, which implements only its reads.

Writes are translated to the server's JSON API, so generations, conditions and contents are the
server's own; the parts of an upload are joined here. Requests without a translation are refused.
"""

import hashlib
import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

_NOT_PASSED = {"connection", "transfer-encoding", "content-length", "host"}
# The server checks conditions only in this form of an upload.
_FORM = (
    b'--part\r\nContent-Type: application/json\r\n\r\n{"name": %b}\r\n'
    b"--part\r\nContent-Type: application/octet-stream\r\n\r\n%b\r\n--part--\r\n"
)
_ABSENT = b"<Error><Code>NoSuchBucket</Code></Error>"


@contextmanager
def gcs_xml(upstream: str) -> Iterator[str]:
    """Run the proxy in front of the fake-gcs-server at `upstream`; yield its address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.upstream = urlsplit(upstream).netloc
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.upstream = ""
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.numbers = count(1)

    def handle_error(self, *_: object) -> None:
        """Ignore a client that hangs up in the middle of a body."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def do_GET(self) -> None:
        status, headers, body = self._asked(self.command, self.path, self._body())
        if status == 500 and b"no bucket named" in body:
            status, body = 404, _ABSENT
        self._send(status, headers, body)

    do_HEAD = do_DELETE = do_GET

    def do_POST(self) -> None:
        query = self._query()
        if "uploads" in query:
            upload = str(next(self.server.numbers))
            self.server.uploads[upload] = {}
            bucket, key = self._place()
            place = f"<Bucket>{bucket}</Bucket><Key>{key}</Key>"
            self._send_xml("InitiateMultipartUploadResult", f"{place}<UploadId>{upload}</UploadId>")
        elif "uploadId" in query:
            self._complete(query["uploadId"][0])
        else:
            self.do_GET()

    def do_PUT(self) -> None:
        query, body = self._query(), self._body()
        if "uploadId" in query:
            self.server.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = body
            self._send(200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b"")
        elif "x-goog-copy-source" in self.headers:
            self._copy(unquote(self.headers["x-goog-copy-source"]).lstrip("/"))
        else:
            self._put(body)

    def _complete(self, upload: str) -> None:
        named = map(int, re.findall(rb"<PartNumber>(\d+)</PartNumber>", self._body()))
        parts = self.server.uploads.pop(upload)
        found = self._written(b"".join(parts[number] for number in named), {})
        etag = json.dumps(found["etag"])
        self._send_xml("CompleteMultipartUploadResult", f"<ETag>{etag}</ETag>", found)

    def _put(self, body: bytes) -> None:
        wanted = self.headers.get("x-goog-if-generation-match")
        found = self._written(body, {"ifGenerationMatch": wanted} if wanted else {})
        if "error" in found:
            status = int(found["error"]["code"])
            code = {404: "NoSuchBucket", 412: "PreconditionFailed"}.get(status, "InternalError")
            self._send(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
            return
        self._send(200, _named(found), b"")

    def _written(self, body: bytes, condition: dict[str, str]) -> dict[str, Any]:
        bucket, key = self._place()
        query = urlencode({"uploadType": "multipart", **condition})
        path = f"/upload/storage/v1/b/{bucket}/o?{query}"
        form = _FORM % (json.dumps(key).encode(), body)
        kind = {"Content-Type": "multipart/related; boundary=part"}
        status, _, answer = self._asked("POST", path, form, kind)
        if status != 200:
            return {"error": {"code": status}}
        found: dict[str, Any] = json.loads(answer)
        return found

    def _copy(self, source: str) -> None:
        of, _, what = source.partition("/")
        bucket, key = self._place()
        path = f"/storage/v1/b/{of}/o/{quote(what, '')}/rewriteTo/b/{bucket}/o/{quote(key, '')}"
        status, _, answer = self._asked("POST", path, b"{}")
        if status != 200:
            self._send(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        self._send_xml("CopyObjectResult", "", json.loads(answer)["resource"])

    def _place(self) -> tuple[str, str]:
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        return bucket, key

    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _asked(
        self, method: str, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        passed = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_PASSED}
        upstream.request(method, path, body, passed if headers is None else headers)
        got = upstream.getresponse()
        answered = {k: v for k, v in got.getheaders() if k.lower() not in _NOT_PASSED}
        if method == "HEAD":
            answered["Content-Length"] = got.getheader("Content-Length") or "0"
        content = got.read()
        upstream.close()
        return got.status, answered, content

    def _send_xml(self, name: str, inner: str, found: dict[str, Any] | None = None) -> None:
        headers = {"Content-Type": "application/xml", **_named(found or {})}
        self._send(200, headers, f"<{name}>{inner}</{name}>".encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        headers.setdefault("Date", self.date_time_string())
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _named(found: dict[str, Any]) -> dict[str, str]:
    """Return the headers that identify a version."""
    if not found:
        return {}
    return {"ETag": json.dumps(found["etag"]), "x-goog-generation": found["generation"]}
