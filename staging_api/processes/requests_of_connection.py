"""The requests of one connection: a head that repeats the last one is not read again.

A client that polls, or tries again, sends the same bytes each time, and to read them takes the
parser longer than the application needs for an answer that is kept. What was made of a head stays
with its connection: the same parser would make the same of the same bytes. It is made anew of all
others, and of a head that does not say where its request ends (Transfer-Encoding), that is answered
before it is handed on (Expect), or behind which the connection ends.

A head may have a credential; it is kept no longer than its connection. What the application finds
is a copy each time, whatever it writes into it.
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
# What differs from request to request. The last sends early hints, which this service never does.
_OF_ONE_REQUEST = ("wsgi.input", "wsgi.early_hints")


class RequestsOfConnection:
    """What the parser of a connection makes of the bytes that come."""

    def __init__(self, cfg: Any, sock: Any, address: Any, server: Any) -> None:
        """Read by gunicorn's settings what comes from `address` to `server`."""
        self._cfg, self._sock, self._address, self._server = cfg, sock, address, server
        self._parser = get_parser(cfg, sock, address)
        self._known: _Known | None = None
        self._head = b""
        self._is_known = False

    def next(self, received: bytes) -> Any:
        """Return the request whose head was received, perhaps with what follows.

        Raises:
            gunicorn's errors: it is none.
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
        """Return the answer to be begun, and what the application finds of the request."""
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
        """Read the rest of the last body until then; return what came behind it.

        None: it cannot be known where the next request begins.
        """
        parser = self._parser
        if not parser.mesg.body.is_read and not parser.finish_body(deadline=deadline):
            return None
        parser.mesg = None  # or the parser looks for the rest once more
        rest: bytes = parser.unreader.buf.getvalue()
        parser.unreader.buf.seek(0)
        parser.unreader.buf.truncate()
        return rest

    def _worth_keeping(self, req: Any, environ: dict[str, Any]) -> "_Known | None":
        names = [name for name, _value in req.headers]
        is_last = req.should_close()
        if len(self._head) > _LONGEST_KEPT or is_last or not _READ_ANEW.isdisjoint(names):
            return None
        same = {name: value for name, value in environ.items() if name not in _OF_ONE_REQUEST}
        return _Known(self._head, req, length_of(req), same)


def length_of(req: Any) -> int:
    """How long a request says that its body is."""
    return next((int(value) for name, value in req.headers if name == "CONTENT-LENGTH"), 0)


@dataclass(frozen=True, slots=True)
class _Known:
    """A head, and what was made of it: its own objects, as no two requests run at once."""

    head: bytes
    req: Any
    body_bytes: int
    environ: dict[str, Any]
