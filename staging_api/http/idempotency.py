"""``Idempotency-Key``: the same request sent again gets the answer that the first one got.

Only successes are kept. A request that failed left nothing half done, so sending it again is a new
try, and a 409 or 503 must not be frozen into the answer for ever.

The key's lock is taken last, when the work may begin: a request that another lock refuses, as most
of those that are sent again and again, writes no more than it would without a key. It is released
last, too, once the answer is kept.

What if it dies? While the responder runs: the key's lock runs out, and the request sent again runs
again. After the work, before the answer is kept: the same, and it finds the work done.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar, runtime_checkable

import falcon

from staging_api.errors import IdempotencyKeyBusy, IdempotencyKeyReused, Invalid, LockHeld
from staging_api.http.api_lock import WHEN_LOCKED, takes_locks
from staging_api.http.auth import origin
from staging_api.locks.hold import Locks, hold
from staging_api.locks.keeper import Hold
from staging_api.locks.model import IDEMPOTENCY
from staging_api.locks.responses import KeptResponse, KeptResponses

P = ParamSpec("P")


class KeepsAnswers(Protocol):
    """A resource whose answers are kept under a lock."""

    locks: Locks


@runtime_checkable
class TakesOtherBodies(Protocol):
    """A resource whose requests have bodies that are not JSON."""

    def sent_body(self, req: falcon.Request) -> bytes:
        """Read the body that is part of the request; called once, before the responder."""


R = TypeVar("R", bound=KeepsAnswers)
Responder = Callable[Concatenate[R, falcon.Request, falcon.Response, P], None]

_MAX_KEY_LENGTH = 255
_KEPT_HEADERS = ("location", "etag", "content-type", "preference-applied")
# From the release of a request's other locks to that of its key, at the most.
_KEEPING_SECONDS = 2.0
# Headers that say something of the one thing that an answer shows.
_OF_ONE_ANSWER = ("location", "etag")


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
        with ExitStack() as until_kept:
            request = _fingerprints(self, req)
            keyed = _Keyed(self.locks, req, resp, key, request, until_kept)
            if keyed.replayed():
                return
            if takes_locks(responder):
                setattr(req.context, WHEN_LOCKED, keyed.begin)
            elif keyed.begin():
                return
            try:
                responder(self, req, resp, *args, **kwargs)
            except LockHeld:
                keyed.refuse_if_busy()
                raise
            keyed.keep()

    return once


@dataclass
class _Keyed:
    """One request with a key, from the look for a kept answer until its own is kept."""

    locks: Locks
    req: falcon.Request
    resp: falcon.Response
    key: str
    request: tuple[str, str]
    until_kept: ExitStack
    held: Hold | None = None
    is_replayed: bool = False

    def begin(self, wait_seconds: float = 0.0) -> bool:
        """Take the key's lock, now that the work may begin; True: it was done, and is answered.

        Args:
            wait_seconds: how long the client would wait. A moment is enough: when it has waited
                behind the first request, that only has to record its answer.

        Raises:
            IdempotencyKeyBusy: the first request with this key still runs.
        """
        patience = min(wait_seconds, _KEEPING_SECONDS)
        lock = hold(self.locks, IDEMPOTENCY, self._scope, origin(self.req), patience)
        try:
            self.held = self.until_kept.enter_context(lock)
        except LockHeld as error:
            raise _busy(error.retry_after_seconds) from None
        return self.replayed()

    def replayed(self) -> bool:
        """Give the answer that is kept under the key, if there is one.

        Raises:
            IdempotencyKeyReused: the key came before with another request.
        """
        kept = KeptResponses(self.locks).find(self.req.context.caller, self.key)
        if kept is None:
            return False
        if kept.request_sha256 not in self.request:
            raise IdempotencyKeyReused(
                "this Idempotency-Key was used for another request: use a new one for each request"
            )
        resp = self.resp
        resp.status = falcon.util.code_to_http_status(kept.status)
        resp.set_headers({**kept.headers, "Idempotent-Replayed": "true"})
        resp.media, resp.data = None, kept.body
        self.is_replayed = True
        return True

    def refuse_if_busy(self) -> None:
        """After the refusal of another lock: the first request with this key may be its holder.

        Raises:
            IdempotencyKeyBusy: it still runs.
        """
        left = KeptResponses(self.locks).seconds_left(self._scope)
        if left is not None and self.held is None:
            raise _busy(left) from None

    def keep(self) -> None:
        """Keep the answer, if it is a success; what needed no lock has yet to take the key's."""
        if self.resp.status_code >= 300:  # noqa: PLR2004 - no success, RFC 9110
            return
        if self.held is None:
            # Of no other answer, should there be one.
            said = {name: self.resp.get_header(name) for name in _OF_ONE_ANSWER}
            for name in said:
                self.resp.delete_header(name)
            if not self.begin():
                self.resp.set_headers({name: value for name, value in said.items() if value})
        if self.held is not None and not self.is_replayed:
            response = _kept(self.request[0], self.resp)
            KeptResponses(self.locks).keep(self.held, self.req.context.caller, self.key, response)

    @property
    def _scope(self) -> str:
        """The scope of the key: its first space ends the caller, in whose name there is none."""
        caller: str = self.req.context.caller
        return f"{caller.replace('%', '%25').replace(' ', '%20')} {self.key}"


def _busy(seconds: float | None) -> IdempotencyKeyBusy:
    return IdempotencyKeyBusy(
        "the first request with this Idempotency-Key still runs", retry_after_seconds=seconds
    )


def _check(key: str) -> None:
    if not 1 <= len(key) <= _MAX_KEY_LENGTH or not key.isprintable() or not key.isascii():
        raise Invalid.field("Idempotency-Key", f"must be 1 to {_MAX_KEY_LENGTH} ASCII characters")


def _fingerprints(resource: object, req: falcon.Request) -> tuple[str, str]:
    """Return digests of the request: the present one, and the one that earlier versions stored.

    How long a client would wait is no part of what it asks for; it was taken for one before, and
    its place is left empty now, so that the digests of requests without the header are the same.
    """
    if isinstance(resource, TakesOtherBodies):
        body = hashlib.sha256(resource.sent_body(req)).hexdigest()
    else:
        # Sorted, as another library of the same client may order the members otherwise.
        body = json.dumps(req.get_media(default_when_empty=None), sort_keys=True)

    def digest(prefer: str) -> str:
        parts = f"{req.method}\n{req.path}\n{req.query_string}\n{prefer}\n{body}"
        return hashlib.sha256(parts.encode()).hexdigest()

    return digest(""), digest(req.get_header("Prefer") or "")


def _kept(request: str, resp: falcon.Response) -> KeptResponse:
    body = resp.render_body() or b""
    headers = {name: value for name in _KEPT_HEADERS if (value := resp.get_header(name))}
    return KeptResponse(request, resp.status_code, headers, body)
