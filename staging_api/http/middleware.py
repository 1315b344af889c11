"""Middleware for every request: request id, the caller's marker, access log and metrics."""

import logging
import re
import time
from functools import cache
from typing import Any
from uuid import UUID

import falcon
from falcon.uri import decode
from prometheus_client import Counter, Histogram

from staging_api import logs, metrics
from staging_api.errors import Invalid, NotFound
from staging_api.http.addresses import NO_PROXIES, TrustedProxies
from staging_api.http.request_ids import new_request_id
from staging_api.http.resources.configdocs.surface import is_surface
from staging_api.traces import trace_id

log = logging.getLogger("staging_api.access")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Responses are for their caller only; files under /static set headers of their own.
_UNLESS_SAID_OTHERWISE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# Characters of an id that goes into log lines and responses: none may end a line or begin a field.
_SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Middleware that gives the request its id, and binds its log context."""

    def __init__(self, proxies: TrustedProxies = NO_PROXIES, errors_url: str = "") -> None:
        """Trust the client addresses that `proxies` forward.

        Args:
            proxies: trusted proxies in front of the service.
            errors_url: URL of the page that explains error codes; empty: the service's own page.
        """
        self._proxies = proxies
        self._errors_url = errors_url

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Use the caller's ``X-Request-Id`` if it is harmless, else make a new id.

        Raises:
            Invalid: ``X-Context-Marker`` is not a UUID; on paths whose clients send arbitrary
                markers, the request id replaces it instead.
            NotFound: the path contains a NUL, which no table can store.
            Invalid: the query contains a NUL.
            LimitExceeded: the body is too long.
        """
        # Read from the WSGI environment: Falcon's access takes longer, and each request needs this.
        given = req.env.get("HTTP_X_REQUEST_ID")
        request_id = given if given and _SAFE_ID.fullmatch(given) else new_request_id()
        context = req.context
        context.request_id = request_id
        context.started = time.monotonic()
        context.reference_id = None
        context.errors_url = self._errors_url
        context.client_address = client = self._proxies.client_of(req.env)
        resp.set_headers({"X-Request-Id": request_id, **_UNLESS_SAID_OTHERWISE})
        metrics.REQUESTS_RUNNING.inc()
        logs.bind_log_context(request_id=request_id, client_address=client)
        if (trace := trace_id()) is not None:
            logs.bind_log_context(trace_id=trace)
        if "\0" in req.path:
            raise NotFound("no path has a NUL character")
        if "%00" in req.query_string or "\0" in req.query_string:
            _refuse_nul(req.query_string)
        marker = req.env.get("HTTP_X_CONTEXT_MARKER")
        if marker:
            lenient = req.context.request_id if is_surface(req.path) else None
            req.context.reference_id = _marker(marker, lenient)
            logs.bind_log_context(reference_id=req.context.reference_id)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Write the access log line, and count the request."""
        seconds = time.monotonic() - req.context.started
        logs.say(log, f"{req.method} {req.path} {resp.status_code} {1000 * seconds:.1f} ms")
        _count(req, resp, seconds)
        logs.clear_log_context()


def _count(req: falcon.Request, resp: falcon.Response, seconds: float) -> None:
    # Labels are routes, not paths, and known methods: a caller must not be able to add series.
    route = req.uri_template or "none"
    method = req.method if req.method in _METHODS else "other"
    requests, request_seconds = _series(method, route, resp.status_code)
    metrics.REQUESTS_RUNNING.dec()
    requests.inc()
    request_seconds.observe(seconds)


def _refuse_nul(query: str) -> None:
    for pair in query.split("&"):
        if "\0" in decode(pair):
            name = decode(pair.partition("=")[0]).replace("\0", "")
            raise Invalid.field(name or "query", "must not contain a NUL character")


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the metrics of such requests; cached, because lookup by labels is slow."""
    return (
        metrics.REQUESTS.labels(method, route, str(status)),
        metrics.REQUEST_SECONDS.labels(method, route),
    )


def _marker(text: str, instead: str | None) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        if instead is not None:
            return instead
        raise Invalid.field("X-Context-Marker", "must be a UUID, such as uuid4 makes") from None
