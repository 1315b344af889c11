"""``@api_lock``: a responder that runs only while its request holds the named lock.

The lock is held around the whole responder, not by a pair of hooks: Falcon skips an ``after`` hook
when the responder raises. A streamed body is sent after the responder, so outside the lock.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import falcon

from staging_api.errors import LockHeld
from staging_api.http.auth import origin
from staging_api.http.prefer import applied, preference
from staging_api.locks.hold import Locks, hold
from staging_api.locks.keeper import Hold
from staging_api.locks.model import LockKind
from staging_api.locks.queue import until

P = ParamSpec("P")


class TakesLocks(Protocol):
    """Interface of a resource whose responders take locks."""

    locks: Locks
    wait_cap_seconds: float


R = TypeVar("R", bound=TakesLocks)
Responder = Callable[Concatenate[R, falcon.Request, falcon.Response, P], None]
#: Scope that a request locks, or a function that finds the scope; None: this request does not need
#: a lock of that kind.
Scope = str | Callable[[R, falcon.Request, LockKind], str | None]
#: Answers the request without any lock if it can, and returns whether it did.
Unless = Callable[[R, falcon.Request, falcon.Response], bool]

#: Name of a function in ``req.context`` that an outer decorator sets. It is called once, when all
#: locks are held, before the responder, with the seconds that the client would still wait; it
#: returns whether the request is answered already.
WHEN_LOCKED = "when_locked"
_TAKES_LOCKS = "takes_locks"


def api_lock(
    *kinds: LockKind, scope: Scope[R], unless: Unless[R] | None = None
) -> Callable[[Responder[R, P]], Responder[R, P]]:
    """Hold a lock while the responder runs, or answer 409 with Retry-After.

    ``Prefer: wait=N`` queues for up to N seconds in all, in order of arrival, before it gives up.
    `scope` refuses bad input before any lock is taken.

    The responder passes its locks to the use case by `hold_of` or `holds_of`: a `Hold` for each
    kind that was taken, for `guarded` writes, `assert_held` and `on_lost`.

    A middleware must set ``req.context.caller``, the caller's name; ``req.context.reference_id``,
    if set, is stored with the grant.

    Args:
        kinds: lock kinds, taken in this order; the first one that another holds ends the request.
        scope: one scope for all requests, or a function that finds the scope in a request.
        unless: shortcut for requests with nothing to do, tried before the lock and again under it.

    Raises:
        LockHeld: answered as 409.
        LockLost: the lease was lost while the responder ran; answered as 409, never as success.
        Unavailable: the database cannot be reached; answered as 503.
    """

    def decorate(responder: Responder[R, P]) -> Responder[R, P]:
        @wraps(responder)
        def locked(
            self: R,
            req: falcon.Request,
            resp: falcon.Response,
            /,
            *args: P.args,
            **kwargs: P.kwargs,
        ) -> None:
            if unless is not None and unless(self, req, resp):
                return
            wanted = _wanted(self, req, kinds, scope)
            with ExitStack() as locks:
                with _waiting(self, req, resp) as deadline:
                    req.context.holds = {
                        kind: locks.enter_context(
                            hold(self.locks, kind, name, origin(req), until(deadline))
                        )
                        for kind, name in wanted
                    }
                # A holder that this request waited for may have done all of the work.
                if _answered(req, until(deadline)) or (
                    unless is not None and unless(self, req, resp)
                ):
                    return
                responder(self, req, resp, *args, **kwargs)

        setattr(locked, _TAKES_LOCKS, True)
        return locked

    return decorate


def hold_of(req: falcon.Request, kind: LockKind) -> Hold:
    """Return the hold that `api_lock` took for a request, to pass to the use case."""
    held: Hold = req.context.holds[kind]
    return held


def holds_of(req: falcon.Request) -> Mapping[str, Hold]:
    """Return all holds that `api_lock` took for a request, by the names of their kinds."""
    return {kind.name: held for kind, held in req.context.holds.items()}


def takes_locks(responder: Callable[..., None]) -> bool:
    """Return whether `api_lock` is among the decorators of a responder."""
    return getattr(responder, _TAKES_LOCKS, False)


def _answered(req: falcon.Request, wait_seconds: float) -> bool:
    when_locked: Callable[[float], bool] | None = getattr(req.context, WHEN_LOCKED, None)
    return when_locked is not None and when_locked(wait_seconds)


def _wanted(
    resource: Any, req: falcon.Request, kinds: tuple[LockKind, ...], scope: Any
) -> list[tuple[LockKind, str]]:
    named = [
        (kind, scope if isinstance(scope, str) else scope(resource, req, kind)) for kind in kinds
    ]
    return [(kind, name) for kind, name in named if name is not None]


@contextmanager
def _waiting(resource: TakesLocks, req: falcon.Request, resp: falcon.Response) -> Iterator[float]:
    """Yield the deadline that all locks of a request share; tell the client if it waited."""
    wait = preference(req, resource.wait_cap_seconds).wait_seconds
    deadline = time.monotonic() + wait
    try:
        yield deadline
    except LockHeld:
        # RFC 7240: the preference was applied only if the request waited that long; another lock
        # may have refused at once.
        if until(deadline) == 0:
            _say(resp, wait)
        raise
    _say(resp, wait)


def _say(resp: falcon.Response, wait: float) -> None:
    if wait and not resp.get_header("Preference-Applied"):
        applied(resp, f"wait={int(wait)}")
