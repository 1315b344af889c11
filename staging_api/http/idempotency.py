"""``Idempotency-Key``: a repeated request gets the response to the first one.

Only successes are kept. A request that failed left nothing half done, so sending it again is a new
attempt, and a 409 or 503 must not become the response for ever.

The key's lock is taken last, when the work may begin: a request that another lock refuses, like
most requests that are repeated often, writes no more than it would without a key. The key's lock is
released last, too, once the response is stored.

What if the process dies? While the responder runs: the key's lock expires, and the repeated request
runs again. After the work, before the response is stored: likewise, and the request finds the work
done.
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
    """Interface of a resource whose responses are kept under a lock."""

    locks: Locks


@runtime_checkable
class TakesOtherBodies(Protocol):
    """Interface of a resource that takes request bodies other than JSON."""

    def sent_body(self, req: falcon.Request) -> bytes:
        """Read the body, as a part of the request's identity; called once, before the responder."""


R = TypeVar("R", bound=KeepsAnswers)
Responder = Callable[Concatenate[R, falcon.Request, falcon.Response, P], None]

_MAX_KEY_LENGTH = 255
_KEPT_HEADERS = ("location", "etag", "content-type", "preference-applied")
# Longest time between the release of a request's other locks and that of its key.
_KEEPING_SECONDS = 2.0
# Headers that describe the object which a response shows.
_OF_ONE_ANSWER = ("location", "etag")


def answers_once(responder: Responder[R, P]) -> Responder[R, P]:
    """Send the stored response if the request's key was seen before, else run the responder.

    Raises:
        IdempotencyKeyBusy: the first request with this key still runs.
        IdempotencyKeyReused: the key was sent before with another request.
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
    """One request with a key, from the lookup of a stored response until its own is stored."""

    locks: Locks
    req: falcon.Request
    resp: falcon.Response
    key: str
    request: tuple[str, str]
    until_kept: ExitStack
    held: Hold | None = None
    is_replayed: bool = False

    def begin(self, wait_seconds: float = 0.0) -> bool:
        """Take the key's lock before the work begins; return True if a stored response was sent.

        Args:
            wait_seconds: how long the client would wait. After a wait for the first request, a
                moment is enough: that request only has to store its response.

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
        """Send the response that is stored under the key, if any, and return whether there was one.

        Raises:
            IdempotencyKeyReused: the key was sent before with another request.
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
        """Refuse the request if another one with this key holds the refused lock.

        Raises:
            IdempotencyKeyBusy: the first request with this key still runs.
        """
        left = KeptResponses(self.locks).seconds_left(self._scope)
        if left is not None and self.held is None:
            raise _busy(left) from None

    def keep(self) -> None:
        """Store the response if it is a success; take the key's lock first if not held yet."""
        if self.resp.status_code >= 300:  # noqa: PLR2004 - no success, RFC 9110
            return
        if self.held is None:
            # Remove the headers that describe this response, as a stored one may be sent instead.
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
        """Scope of the key: the caller's name, with its spaces escaped, a space, and the key."""
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

    The time that a client would wait is not part of a request's identity. Earlier versions included
    it, so the present digest leaves its place empty: requests without the header keep their digest.
    """
    if isinstance(resource, TakesOtherBodies):
        body = hashlib.sha256(resource.sent_body(req)).hexdigest()
    else:
        # Sorted, as another library of the same client may write the members in another order.
        body = json.dumps(req.get_media(default_when_empty=None), sort_keys=True)

    def digest(prefer: str) -> str:
        parts = f"{req.method}\n{req.path}\n{req.query_string}\n{prefer}\n{body}"
        return hashlib.sha256(parts.encode()).hexdigest()

    return digest(""), digest(req.get_header("Prefer") or "")


def _kept(request: str, resp: falcon.Response) -> KeptResponse:
    body = resp.render_body() or b""
    headers = {name: value for name in _KEPT_HEADERS if (value := resp.get_header(name))}
    return KeptResponse(request, resp.status_code, headers, body)
