"""The requests of one connection: a head that repeats the last one is not parsed again.

A client that polls or retries sends the same bytes each time, and parsing them takes longer than
the application needs for a cached response. So the parsed request is kept with its connection: the
parser would return an equal one for equal bytes. A head is always parsed if it differs from the
last, does not state the length of its body (Transfer-Encoding), is answered before it is dispatched
(Expect), or ends the connection.

A head may contain a credential, so a parsed request is kept no longer than its connection. The
application gets a copy of the environment each time, which it may modify.
"""

from dataclasses import dataclass
from typing import Any

from gunicorn.http import get_parser  # type: ignore[import-untyped]  # has no types
from gunicorn.http.body import Body, LengthReader  # type: ignore[import-untyped]  # has no types
from gunicorn.http.wsgi import create  # type: ignore[import-untyped]  # has no types

from staging_api.processes.sent_together import BufferedResponse

_END_OF_HEAD = b"\r\n\r\n"
_LONGEST_KEPT = 4096
_READ_ANEW = frozenset({"TRANSFER-ENCODING", "EXPECT"})
# Keys that differ from request to request. The last sends early hints, which this service never
# does.
_OF_ONE_REQUEST = ("wsgi.input", "wsgi.early_hints")


class RequestsOfConnection:
    """The parser of one connection, with the last request that it parsed."""

    def __init__(self, cfg: Any, sock: Any, address: Any, server: Any) -> None:
        """Parse, with gunicorn's settings, the requests from `address` to `server`."""
        self._cfg, self._sock, self._address, self._server = cfg, sock, address, server
        self._parser = get_parser(cfg, sock, address)
        self._known: _ParsedHead | None = None
        self._head = b""
        self._is_known = False

    def next(self, received: bytes) -> Any:
        """Return the request whose head was received, perhaps followed by part of its body.

        Raises:
            gunicorn's errors: the bytes are no valid request.
        """
        known = self._known
        end = received.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        self._head = received[:end]
        self._is_known = known is not None and known.head == self._head
        if known is None or not self._is_known:
            self._parser.unreader.unread(received)
            return next(self._parser)
        if len(received) > end:
            self._parser.unreader.unread(received[end:])
        self._parser.req_count += 1
        req = self._parser.mesg = known.req
        req.body = Body(LengthReader(self._parser.unreader, known.body_bytes))
        return req

    def exchange(self, req: Any) -> tuple[BufferedResponse, dict[str, Any]]:
        """Return the response to be sent, and the WSGI environment of the request."""
        if self._is_known and self._known is not None:
            return BufferedResponse(req, self._sock, self._cfg), {
                **self._known.environ,
                "wsgi.input": req.body,
            }
        resp, environ = create(
            *(req, self._sock, self._address, self._server, self._cfg),
            response_class=BufferedResponse,
        )
        self._known = self._worth_keeping(req, environ)
        return resp, environ

    def reach_next(self, deadline: float) -> bytes | None:
        """Read the rest of the last body before the deadline; return the bytes that follow.

        Returns None if the beginning of the next request cannot be found.
        """
        parser = self._parser
        if not parser.mesg.body.is_read and not parser.finish_body(deadline=deadline):
            return None
        parser.mesg = None  # or the parser would look for the rest once more
        rest: bytes = parser.unreader.buf.getvalue()
        parser.unreader.buf.seek(0)
        parser.unreader.buf.truncate()
        return rest

    def _worth_keeping(self, req: Any, environ: dict[str, Any]) -> "_ParsedHead | None":
        names = [name for name, _value in req.headers]
        is_last = req.should_close()
        if len(self._head) > _LONGEST_KEPT or is_last or not _READ_ANEW.isdisjoint(names):
            return None
        same = {name: value for name, value in environ.items() if name not in _OF_ONE_REQUEST}
        return _ParsedHead(self._head, req, length_of(req), same)


def length_of(req: Any) -> int:
    """Return the declared length of a request's body in bytes; 0 if none is declared."""
    return next((int(value) for name, value in req.headers if name == "CONTENT-LENGTH"), 0)


@dataclass(frozen=True, slots=True)
class _ParsedHead:
    """A head and its parsed request, whose objects are reused: no two requests run at once."""

    head: bytes
    req: Any
    body_bytes: int
    environ: dict[str, Any]
