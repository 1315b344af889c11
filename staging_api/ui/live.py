"""``/ui/live``: one event stream per tab, which reports that a topic of its page has changed.

An event contains only topics; the page then requests itself, with its ETag. Therefore a stream
shows nothing that its page may not show, and a lost event does no harm: a page refreshes once when
it opens its stream. The browser's session is checked from time to time; a stream outlives it only
briefly.
"""

from collections.abc import Callable, Mapping

import falcon

from staging_api.changes.model import TOPICS
from staging_api.errors import Forbidden, Invalid, Unavailable
from staging_api.http.addresses import share_of
from staging_api.http.auth import client_of
from staging_api.identity.authenticators import ANONYMOUS
from staging_api.open_stream import first_bytes
from staging_api.ui.dependencies import UiResource
from staging_api.ui.screen import roles_of

#: The API call that shows a topic: its roles may follow the topic.
CALLS: Mapping[str, str] = {
    "work": "GET /stagings",
    "locks": "GET /locks",
    "alive": "GET /processes",
    "processes": "GET /processes",
    "apt": "GET /distributions",
    "documents": "GET /document-buffer",
    "store": "GET /store",
}


class LiveStream(UiResource):
    """Opens streams of changes."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Open a stream; its connection is detached from this request's thread.

        Raises:
            Invalid: a topic is unknown.
            Forbidden: the caller may not see one of the topics.
            TooManyRequests: this caller has too many open streams.
            Unavailable: the process has too many open streams; or its server cannot keep streams
                open.
        """
        topics = frozenset(req.get_param("topics", default="").split())
        _check(topics, req)
        stream = self._deps.changes.open(_counted_as(req), topics, self._still_allowed(req))
        if not client_of(req).leave_to(stream):
            self._deps.changes.streams.refuse(stream)
            raise Unavailable("the server that runs this service keeps no event streams open")
        resp.content_type = "text/event-stream"
        # Without this, nginx would buffer events.
        resp.set_header("X-Accel-Buffering", "no")
        resp.stream = [first_bytes()]

    def _still_allowed(self, req: falcon.Request) -> Callable[[], bool]:
        """Return a check of the session; other credentials are checked when a stream reopens."""
        sessions, roles = self._deps.sessions, req.context.roles
        if sessions is None or sessions.principal(req.env) is None:
            return lambda: True
        # Not the whole environment, which would keep the request in memory while the stream is
        # open.
        kept = {"HTTP_COOKIE": req.env.get("HTTP_COOKIE", "")}

        def check() -> bool:
            known = sessions.principal(kept)
            # The stream was opened with these roles: it ends if one of them is revoked.
            return known is not None and roles <= known.roles | self._deps.api.anonymous.roles

        return check


def _check(topics: frozenset[str], req: falcon.Request) -> None:
    if not topics or not topics <= TOPICS:
        known = ", ".join(sorted(TOPICS))
        raise Invalid.field("topics", f"must be some of {known}, with spaces between")
    for topic in sorted(topics):
        roles = roles_of(CALLS[topic])
        if roles and not roles & req.context.roles:
            raise Forbidden(f"{req.context.caller} needs the role {' or '.join(sorted(roles))}")


def _counted_as(req: falcon.Request) -> str:
    caller: str = req.context.caller
    if caller != ANONYMOUS:
        return caller
    # There are many anonymous callers: count each address separately.
    return f"{caller} at {share_of(req.context.client_address)}"
