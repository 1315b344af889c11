"""What one caller may ask of one process: bytes, requests a second, requests at once.

Counted in each process by itself, which costs no round trip: a caller may have at most so many
times the limit as there are processes. A limit for the whole service is a matter of the proxy in
front, which sees every request.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import falcon

from staging_api.errors import LimitExceeded, TooManyRequests
from staging_api.http.permissions import ANYBODY, allowed

# A second's worth may come at once: clients of a build farm start together.
_BURST_SECONDS = 1.0
_REMEMBERED_CALLERS = 10_000
_CONCURRENCY_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """The limits; 0 is none, but for the body."""

    per_second: float = 0.0
    at_once: int = 0
    body_bytes: int = 4 << 20
    upload_bytes: int = 16 << 30


@dataclass
class _Caller:
    """What one caller has used: tokens left of its bucket, requests that run."""

    left: float
    seen_at: float
    running: int = 0


@dataclass
class CallerLimits:
    """Middleware that refuses what is over a limit; probes and public documents are not counted."""

    limits: Limits
    now: Callable[[], float] = time.monotonic
    _callers: "OrderedDict[str, _Caller]" = field(default_factory=OrderedDict)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: Any, _params: Any
    ) -> None:
        """Count the request, or refuse it before any of its body is read.

        A resource that says ``takes_files`` may be sent more than others.

        Raises:
            LimitExceeded: the body is too long.
            TooManyRequests: the caller's share is used up; says when to come back.
        """
        takes_files = getattr(resource, "takes_files", False)
        most = self.limits.upload_bytes if takes_files else self.limits.body_bytes
        if (req.content_length or 0) > most:
            raise LimitExceeded(f"the body may have at most {most} bytes")
        unlimited = not (self.limits.per_second or self.limits.at_once)
        if unlimited or allowed(req.uri_template, req.method) == ANYBODY:
            return
        with self._counting:
            caller = self._find(req.context.caller)
            self._spend(caller)
            if self.limits.at_once and caller.running >= self.limits.at_once:
                raise TooManyRequests(
                    f"{caller.running} requests of this caller run already",
                    retry_after_seconds=_CONCURRENCY_RETRY_SECONDS,
                )
            caller.running += 1
            req.context.counted = caller

    def process_response(
        self, req: falcon.Request, _resp: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Count it as done; what is streamed afterwards is the server's, not the caller's share."""
        caller: _Caller | None = getattr(req.context, "counted", None)
        if caller is not None:
            with self._counting:
                caller.running -= 1

    def _find(self, name: str) -> _Caller:
        now, burst = self.now(), max(1.0, self.limits.per_second * _BURST_SECONDS)
        caller = self._callers.get(name)
        if caller is None:
            caller = self._callers[name] = _Caller(burst, now)
            self._forget_idle()
        self._callers.move_to_end(name)
        caller.left = min(burst, caller.left + (now - caller.seen_at) * self.limits.per_second)
        caller.seen_at = now
        return caller

    def _spend(self, caller: _Caller) -> None:
        if not self.limits.per_second:
            return
        if caller.left < 1:
            raise TooManyRequests(
                f"this caller may send {self.limits.per_second:g} requests a second",
                retry_after_seconds=(1 - caller.left) / self.limits.per_second,
            )
        caller.left -= 1

    def _forget_idle(self) -> None:
        if len(self._callers) > _REMEMBERED_CALLERS:
            oldest, caller = next(iter(self._callers.items()))
            if not caller.running:
                del self._callers[oldest]
