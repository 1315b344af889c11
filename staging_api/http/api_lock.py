"""``@api_lock``: a responder that runs only while its request holds the named lock.

The lock is held around the whole responder, not by a pair of hooks: Falcon skips an ``after`` hook
when the responder raises. A streamed body leaves after the responder, so outside the lock.
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
    """A resource whose responders take locks."""

    locks: Locks
    wait_cap_seconds: float


R = TypeVar("R", bound=TakesLocks)
Responder = Callable[Concatenate[R, falcon.Request, falcon.Response, P], None]
#: Names the scope that a request locks; None: this request does not need that kind.
Scope = str | Callable[[R, falcon.Request, LockKind], str | None]
#: Answers the request by itself, without any lock, and says whether it did.
Unless = Callable[[R, falcon.Request, falcon.Response], bool]

#: Name in ``req.context`` of a function that an outer decorator sets: called once all locks are
#: held, before the responder, with the seconds that the client would still wait; returns whether
#: the request is answered already.
WHEN_LOCKED = "when_locked"
_TAKES_LOCKS = "takes_locks"


def api_lock(
    *kinds: LockKind, scope: Scope[R], unless: Unless[R] | None = None
) -> Callable[[Responder[R, P]], Responder[R, P]]:
    """Hold a lock while the responder runs, or answer 409 with Retry-After.

    ``Prefer: wait=N`` queues for up to N seconds in all, in order of arrival, before it gives up.
    Bad input is found by `scope`, before any lock is taken.

    The responder hands its locks on to the use case, by `hold_of` or `holds_of`: a `Hold` for each
    kind that was taken, for `guarded` writes, `assert_held` and `on_lost`.

    Of the request it needs ``req.context.caller``, the name of who calls, which a middleware has to
    set; ``req.context.reference_id``, if set, is noted with the grant.

    Args:
        kinds: taken in this order; the first that is held by another ends it.
        scope: what the lock protects: one scope for all requests, or how to find it in a request.
        unless: a shortcut for requests with nothing to do, tried before the lock and under it.

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
    """Return the hold that `api_lock` took for a request, to be handed to the use case."""
    held: Hold = req.context.holds[kind]
    return held


def holds_of(req: falcon.Request) -> Mapping[str, Hold]:
    """Return all holds that `api_lock` took for a request, by the names of their kinds."""
    return {kind.name: held for kind, held in req.context.holds.items()}


def takes_locks(responder: Callable[..., None]) -> bool:
    """Whether `api_lock` is around a responder, below whatever else wraps it."""
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
    """When the time for all the locks of the request together is over; says if it was granted."""
    wait = preference(req, resource.wait_cap_seconds).wait_seconds
    deadline = time.monotonic() + wait
    try:
        yield deadline
    except LockHeld:
        # RFC 7240: only if it waited that long was the preference applied; another lock may have
        # refused at once.
        if until(deadline) == 0:
            _say(resp, wait)
        raise
    _say(resp, wait)


def _say(resp: falcon.Response, wait: float) -> None:
    if wait and not resp.get_header("Preference-Applied"):
        applied(resp, f"wait={int(wait)}")
