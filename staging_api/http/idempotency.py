"""``Idempotency-Key``: the same request sent again gets the answer that the first one got.

Only successes are kept. A request that failed left nothing half done, so sending it again is a new
try, and a 409 or 503 must not be frozen into the answer for ever.

What if it dies? While the responder runs: the key's lock runs out, and the request sent again runs
again. After the work, before the answer is kept: the same, and it finds the work done.
"""

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import falcon

from staging_api.db import answers
from staging_api.db.answers import KeptAnswer
from staging_api.db.engine import Database
from staging_api.errors import IdempotencyKeyBusy, IdempotencyKeyReused, Invalid, LockHeld
from staging_api.http.auth import asker
from staging_api.locks.hold import Locks, guarded, hold
from staging_api.locks.model import IDEMPOTENCY

P = ParamSpec("P")


class Locking(Protocol):
    """A resource whose answers are kept under a lock."""

    locks: Locks


R = TypeVar("R", bound=Locking)
Responder = Callable[Concatenate[R, falcon.Request, falcon.Response, P], None]

_MAX_KEY_LENGTH = 255
_KEPT_HEADERS = ("location", "content-type", "preference-applied")


def answers_once(responder: Responder[R, P]) -> Responder[R, P]:
    """Give the kept answer to a request whose key was seen before, else run the responder.

    Raises:
        IdempotencyKeyBusy: the first request with this key still runs.
        IdempotencyKeyReused: the key came before with another request.
    """

    @wraps(responder)
    def once(
        self: R, req: falcon.Request, resp: falcon.Response, /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        key = req.get_header("Idempotency-Key")
        if key is None:
            responder(self, req, resp, *args, **kwargs)
            return
        _check(key)
        caller = req.context.caller
        request = _fingerprints(req)
        if _replayed(self.locks.database, caller, key, request, resp):
            return
        try:
            with hold(self.locks, IDEMPOTENCY, _scope(caller, key), asker(req)) as held:
                if _replayed(self.locks.database, caller, key, request, resp):
                    return
                responder(self, req, resp, *args, **kwargs)
                if resp.status_code < 300:  # noqa: PLR2004 - success, RFC 9110
                    with guarded(self.locks.database, held) as conn:
                        answers.keep(conn, caller, key, _kept(request[0], resp))
        except LockHeld as error:
            if error.extra["lock"]["kind"] != IDEMPOTENCY.name:
                raise
            raise IdempotencyKeyBusy(
                "the first request with this Idempotency-Key still runs",
                retry_after_seconds=error.retry_after_seconds,
            ) from None

    return once


def _check(key: str) -> None:
    if not 1 <= len(key) <= _MAX_KEY_LENGTH or not key.isprintable() or not key.isascii():
        raise Invalid.field("Idempotency-Key", f"must be 1 to {_MAX_KEY_LENGTH} ASCII characters")


def _scope(caller: str, key: str) -> str:
    """The scope of a key: its first space ends the caller, in whose name there must be none."""
    return f"{caller.replace('%', '%25').replace(' ', '%20')} {key}"


def _fingerprints(req: falcon.Request) -> tuple[str, str]:
    """Digests of the request: ours, and that which versions before noted.

    How long a client would wait is no part of what it asks for; it was taken for one before, and
    its place is left empty now, so that the digests of requests without the header are the same.
    """
    body = json.dumps(req.get_media(default_when_empty=None), sort_keys=True)

    def digest(prefer: str) -> str:
        parts = f"{req.method}\n{req.path}\n{req.query_string}\n{prefer}\n{body}"
        return hashlib.sha256(parts.encode()).hexdigest()

    return digest(""), digest(req.get_header("Prefer") or "")


def _replayed(
    database: Database, caller: str, key: str, request: tuple[str, str], resp: falcon.Response
) -> bool:
    with database.connect() as conn:
        kept = answers.find(conn, caller, key)
    if kept is None:
        return False
    if kept.request_sha256 not in request:
        raise IdempotencyKeyReused(
            "this Idempotency-Key was used for another request: use a new one for each request"
        )
    resp.status = falcon.util.code_to_http_status(kept.status)
    resp.set_headers({**kept.headers, "Idempotent-Replayed": "true"})
    resp.data = kept.body
    return True


def _kept(request: str, resp: falcon.Response) -> KeptAnswer:
    body = resp.render_body() or b""
    headers = {name: value for name in _KEPT_HEADERS if (value := resp.get_header(name))}
    return KeptAnswer(request, resp.status_code, headers, body)
