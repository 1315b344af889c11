"""Limits for one caller in one process: bytes of a body, requests a second, concurrent requests.

Each process counts by itself, which costs no round trip: a caller may get the limit as many times
as there are processes. A limit for the whole service belongs in the proxy in front, which sees
every request.

Anonymous callers share no count: each address has its own. Refused requests are counted by address
as well, since their senders have no name that could be trusted (`Refusals`).
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import falcon

from staging_api.errors import LimitExceeded, TooManyRequests
from staging_api.http.addresses import share_of
from staging_api.identity.authenticators import ANONYMOUS

# A burst may be one second's worth: clients of a build farm start together.
_BURST_SECONDS = 1.0
# Without a configured limit, the one for refusals is wide: many clients can share an address.
_REFUSALS_BURST_SECONDS = 10.0
_REMEMBERED_CALLERS = 10_000
_CONCURRENCY_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class RequestLimits:
    """The limits; 0 means unlimited, except for the body."""

    body_bytes: int
    upload_bytes: int
    per_second: float = 0.0
    at_once: int = 0
    refused_per_second: float = 0.0


class CallerLimits:
    """Middleware that refuses requests over a limit, except probes and public documents."""

    def __init__(self, limits: RequestLimits, now: Callable[[], float] = time.monotonic) -> None:
        """Measure time by the clock `now`, in seconds."""
        self.limits = limits
        burst = max(1.0, limits.per_second * _BURST_SECONDS)
        self._callers = _Callers(limits.per_second, burst, now)
        self._counting = threading.Lock()

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: Any, _params: Any
    ) -> None:
        """Count the request, or refuse it before any of its body is read.

        A resource with ``takes_files`` has a higher limit for the body.

        Raises:
            LimitExceeded: the body is too long.
            TooManyRequests: the caller's rate is exceeded; has the time until a retry.
        """
        takes_files = getattr(resource, "takes_files", False)
        most = self.limits.upload_bytes if takes_files else self.limits.body_bytes
        if req.content_length is not None and req.content_length > most:
            setting = "STAGING_MAX_UPLOAD_BYTES" if takes_files else "STAGING_MAX_BODY_BYTES"
            raise LimitExceeded(
                f"the body has {req.content_length} bytes, and may have at most {most} ({setting})"
            )
        unlimited = not (self.limits.per_second or self.limits.at_once)
        if unlimited or getattr(req.context, "needs_no_role", False):
            return
        with self._counting:
            caller = self._callers.find(_counted_as(req))
            self._spend(caller)
            if self.limits.at_once and caller.running >= self.limits.at_once:
                raise TooManyRequests(
                    f"{caller.running} requests of this caller run already"
                    " (STAGING_CONCURRENCY_PER_CALLER)",
                    retry_after_seconds=_CONCURRENCY_RETRY_SECONDS,
                )
            caller.running += 1
            req.context.counted = caller

    def process_response(
        self, req: falcon.Request, _resp: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Count the request as ended; streaming of its body is not counted."""
        caller: _Caller | None = getattr(req.context, "counted", None)
        if caller is not None:
            with self._counting:
                caller.running -= 1

    def _spend(self, caller: "_Caller") -> None:
        if not self.limits.per_second:
            return
        if caller.left < 1:
            raise TooManyRequests(
                f"this caller may send {self.limits.per_second:g} requests a second"
                " (STAGING_RATE_PER_CALLER)",
                retry_after_seconds=self._callers.seconds_until_next(caller),
            )
        caller.left -= 1


class Refusals:
    """Counter of refused requests by address, including those whose credential went unchecked.

    The limit is that of a caller, or one that is wide enough for many clients behind one address.
    Over it an address has to wait, and no identity provider is called for it; a known credential
    is served all the same, so no client can lock out others by their address.
    """

    def __init__(self, limits: RequestLimits, now: Callable[[], float] = time.monotonic) -> None:
        """Measure time by the clock `now`, in seconds."""
        if limits.per_second:
            per_second, burst = limits.per_second, limits.per_second * _BURST_SECONDS
        else:
            per_second = limits.refused_per_second
            burst = per_second * _REFUSALS_BURST_SECONDS
        self._addresses = _Callers(per_second, max(1.0, burst), now)
        self._limited = per_second > 0
        self._counting = threading.Lock()

    def under_limit_of(self, address: str) -> Callable[[], bool]:
        """Return `under_limit` for this address, to be called later."""
        return partial(self.under_limit, address)

    def under_limit(self, address: str) -> bool:
        """Return whether one more request of this address may be refused."""
        if not self._limited:
            return True
        with self._counting:
            return self._addresses.find(share_of(address)).left >= 1

    def count(self, address: str) -> None:
        """Count one more refused request.

        Raises:
            TooManyRequests: there were too many; replaces the refusal.
        """
        if not self._limited:
            return
        with self._counting:
            found = self._addresses.find(share_of(address))
            if found.left < 1:
                raise TooManyRequests(
                    f"an address may have {self._addresses.per_second:g} refused requests"
                    " per second",
                    retry_after_seconds=self._addresses.seconds_until_next(found),
                )
            found.left -= 1


@dataclass
class _Caller:
    """State of one caller: tokens left in its bucket, and its running requests."""

    left: float
    seen_at: float
    running: int = 0


@dataclass
class _Callers:
    """Token buckets by caller; the least recently seen are evicted."""

    per_second: float
    burst: float
    now: Callable[[], float]
    _known: "OrderedDict[str, _Caller]" = field(default_factory=OrderedDict)

    def find(self, name: str) -> _Caller:
        """Return the caller's bucket, refilled up to now."""
        now = self.now()
        caller = self._known.get(name)
        if caller is None:
            caller = self._known[name] = _Caller(self.burst, now)
            self._forget_idle()
        # The least recently seen caller comes first, and is evicted.
        self._known.move_to_end(name)
        caller.left = min(self.burst, caller.left + (now - caller.seen_at) * self.per_second)
        caller.seen_at = now
        return caller

    def seconds_until_next(self, caller: "_Caller") -> float:
        """Return the seconds until a token is available."""
        return (1 - caller.left) / self.per_second

    def _forget_idle(self) -> None:
        if len(self._known) > _REMEMBERED_CALLERS:
            # Never evict a caller with running requests: its bucket would be full again, with a
            # count of 0.
            idle = next((name for name, each in self._known.items() if not each.running), None)
            if idle is not None:
                del self._known[idle]


def _counted_as(req: falcon.Request) -> str:
    caller: str = req.context.caller
    if caller != ANONYMOUS:
        return caller
    # A caller's name is printable, so the two kinds of keys never collide.
    return f"{caller}\n{share_of(req.context.client_address)}"
