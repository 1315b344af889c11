"""Reads are run once more when the connection to the database broke under them.

After a failover each pooled connection is dead, and which it was is noticed by the first statement
on it. Reads, whose responders may run any number of times, then need no help of the client: the
second run finds an empty pool and so a new connection. Whatever may write is not run again, but for
the statements of the lock, which are safe to send twice (`locks.hold`): it is answered with 503 and
Retry-After, and the client's Idempotency-Key makes its retry safe. The devserver's paths are run
again whatever they do: they are idempotent, as they name what should be staged.
"""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, cast

import falcon
from falcon.inspect import inspect_compiled_router, register_router
from falcon.routing import CompiledRouter, IntConverter

from staging_api import metrics
from staging_api.errors import ConnectionLost

log = logging.getLogger(__name__)

_READS = ("GET", "HEAD")
#: A request that took longer already is not run again: its client has waited enough.
_BUDGET_SECONDS = 5.0
_LARGEST_NUMBER = (1 << 63) - 1

Responder = Callable[..., None]


class Router(CompiledRouter):
    """Falcon's, but for the responders of reads, and for numbers."""

    def __init__(self) -> None:
        """Have no routes yet."""
        super().__init__()
        self.options.converters["int"] = _Number

    def map_http_methods(self, resource: object, **kwargs: Any) -> Any:
        """The responders of a resource, by method."""
        responders = dict(super().map_http_methods(resource, **kwargs))
        if getattr(resource, "answers_head", False):
            responders["HEAD"] = responders["GET"]  # Falcon leaves the body out
        return {
            method: RepeatedResponder(cast(Responder, responder)) if method in _READS else responder
            for method, responder in responders.items()
        }


# So that Falcon can still show what the routes are.
register_router(Router)(inspect_compiled_router)


class RepeatedResponder:
    """A responder that is run again if it lost its connection soon after it began.

    No function: those on a route are Falcon's own, which the OpenAPI document passes over.
    """

    def __init__(self, responder: Responder) -> None:
        """Look like the responder, whose decorators may have left something on it."""
        functools.update_wrapper(self, responder)
        self._responder = responder

    def __call__(self, req: falcon.Request, resp: falcon.Response, **params: Any) -> None:
        """Answer the request."""
        began = time.monotonic()
        try:
            self._responder(req, resp, **params)
        except ConnectionLost:
            if time.monotonic() - began > _BUDGET_SECONDS:
                raise
            log.info("the connection to the database broke; the request is run again")
            metrics.READS_AGAIN.inc()
            self._responder(req, resp, **params)


class _Number(IntConverter):
    """A number in a path. Beyond what a bigint of PostgreSQL can be, it is that of nothing."""

    def __init__(self) -> None:
        super().__init__(min=0, max=_LARGEST_NUMBER)
