"""Repeat a read once when the connection to the database broke under it.

After a failover each pooled connection is dead, and its first statement discovers that. Reads,
whose responders may run any number of times, then need no help from the client: the second run
finds an empty pool and so a new connection. A request that may write is not repeated, except for
the statements of the lock, which are safe to send twice (`locks.hold`): it is answered with 503 and
Retry-After, and the client's Idempotency-Key makes its retry safe. The devserver's paths are always
repeated: they are idempotent, as they name the artifacts that should be staged.
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
#: A request that already took longer is not repeated: its client has waited enough.
_BUDGET_SECONDS = 5.0
_LARGEST_NUMBER = (1 << 63) - 1

Responder = Callable[..., None]


class Router(CompiledRouter):
    """Falcon's router, with repeated responders for reads, and a converter for numbers."""

    def __init__(self) -> None:
        """Create a router without routes."""
        super().__init__()
        self.options.converters["int"] = _Number

    def map_http_methods(self, resource: object, **kwargs: Any) -> Any:
        """Return the responders of a resource, by method."""
        responders = dict(super().map_http_methods(resource, **kwargs))
        if getattr(resource, "answers_head", False):
            responders["HEAD"] = responders["GET"]  # Falcon omits the body
        return {
            method: RepeatedResponder(cast(Responder, responder)) if method in _READS else responder
            for method, responder in responders.items()
        }


# Lets Falcon's inspection show the routes.
register_router(Router)(inspect_compiled_router)


class RepeatedResponder:
    """A responder that is repeated if it lost its connection soon after it began.

    A class, not a function: the OpenAPI document skips functions on a route as Falcon's own.
    """

    def __init__(self, responder: Responder) -> None:
        """Copy the responder's attributes, which its decorators may have set."""
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
    """Converter of a number in a path. A number above PostgreSQL's bigint matches no row."""

    def __init__(self) -> None:
        super().__init__(min=0, max=_LARGEST_NUMBER)
