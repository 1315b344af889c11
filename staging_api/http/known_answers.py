"""Cache of encoded responses about final stagings, valid while their rows are unchanged.

Many requests are about artifacts that are staged already. For each request one statement returns
the identity of the rows behind its response (`db/functions/stagings_shown.sql`), so no cached
response outlives a change of one of these rows, whichever process made it. A response is stored
under the rows that were read before it was built: if they change meanwhile, no later request finds
it.

Only responses that are the same for all callers are cached; permissions are checked before. Each
process has its own cache, which starts empty.
"""

import io
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

import falcon

from staging_api import metrics
from staging_api.bounded_cache import BoundedCache
from staging_api.http.conditions import not_modified
from staging_api.locks.hold import lock_held
from staging_api.staging.model import AnswerRows, Staging, StagingRequest
from staging_api.staging.service import StagingService

Responder = TypeVar("Responder", bound=Callable[..., None])

_MOST_ANSWERS, _ANSWER_BYTES = 10_000, 16 << 20
_MOST_REQUESTS, _REQUEST_BYTES = 10_000, 8 << 20
_LONGEST_BODY = 4096
_BYTES_BESIDE = 1000  # of the objects round a text
# Names in ``req.context``.
_SEEN, _SENT, _SHOWN = "seen", "sent_body", "shown_staging"
_HEADERS = ("Content-Type", "Location", "ETag")


class KnownAnswers:
    """Response cache of one process."""

    def __init__(self, stagings: StagingService) -> None:
        """Query the database of `stagings`."""
        self._stagings = stagings
        self._answers: BoundedCache[str, _Known] = BoundedCache(_MOST_ANSWERS, _ANSWER_BYTES)
        self._requests: BoundedCache[bytes, StagingRequest] = BoundedCache(
            _MOST_REQUESTS, _REQUEST_BYTES
        )

    def answer_request(self, req: falcon.Request, resp: falcon.Response) -> bool:
        """Try to answer a request for artifacts from the cache; return whether it was answered.

        Raises:
            LockHeld: there is work to do, and another request holds the lock.
        """
        request = self._known_request(req)
        if request is None:
            return False
        asked = self._stagings.standing_answer(request)
        if asked.refusal is not None:
            metrics.LOCKS_REFUSED.labels(asked.refusal.kind.name).inc()
            raise lock_held(asked.refusal)
        setattr(req.context, _SEEN, asked.seen)
        known = self._current(asked.seen)
        if known is None or not set(request.names) <= set(known.staged):
            return False
        _send(resp, known)
        return True

    def answer_about(self, req: falcon.Request, resp: falcon.Response, staging_id: str) -> bool:
        """Try to answer a request about a staging from the cache; return whether it succeeded."""
        seen = self._stagings.answer_rows(staging_id)
        setattr(req.context, _SEEN, seen)
        known = self._current(seen)
        if known is None:
            return False
        if not not_modified(req, resp, known.etag):
            _send(resp, known)
        return True

    def note_request(self, req: falcon.Request, request: StagingRequest) -> None:
        """Remember that this body is valid, unless it contains a credential."""
        sent: bytes | None = getattr(req.context, _SENT, None)
        if sent is not None and not request.url.has_credential:
            self._requests.put(sent, request, len(sent) + _BYTES_BESIDE)

    def keep(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store the response to a request, if other callers would get the same."""
        seen: AnswerRows | None = getattr(req.context, _SEEN, None)
        staging: Staging | None = getattr(req.context, _SHOWN, None)
        if seen is None or staging is None or resp.status != falcon.HTTP_200:
            return
        # Another staging may have become the newest meanwhile.
        if not staging.final or seen.staging_id != staging.id:
            return
        body = resp.render_body() or b""
        headers = [(name, resp.get_header(name)) for name in _HEADERS]
        known = _Known(
            seen=seen,
            staged=_staged(staging),
            body=body,
            headers=tuple((name, value) for name, value in headers if value),
            etag=resp.get_header("ETag") or "",
        )
        self._answers.put(staging.id, known, len(body) + len(seen.rows) + _BYTES_BESIDE)

    def _current(self, seen: AnswerRows | None) -> "_Known | None":
        if seen is None:
            return None
        known = self._answers.get(seen.staging_id)
        return known if known is not None and known.seen == seen else None

    def _known_request(self, req: falcon.Request) -> StagingRequest | None:
        """Return the parsed request if its body was found valid before, else None."""
        length = req.content_length
        # With either of these headers a response depends on more than the body.
        plain = req.content_type == falcon.MEDIA_JSON and length and length <= _LONGEST_BODY
        if not plain or req.env.get("HTTP_IDEMPOTENCY_KEY") or req.env.get("HTTP_PREFER"):
            return None
        sent = req.stream.read(length)
        # Validation and the fingerprint read the body again, which came from a socket.
        req.env["wsgi.input"] = req.stream = io.BytesIO(sent)
        setattr(req.context, _SENT, sent)
        return self._requests.get(sent)


def unless_known(answered: Callable[..., bool]) -> Callable[[Responder], Responder]:
    """Run a responder only if `answered`, a method of `KnownAnswers`, did not answer.

    The response is cached if the responder called `shown`.
    """

    def decorate(responder: Responder) -> Responder:
        @wraps(responder)
        def first(
            self: Any, req: falcon.Request, resp: falcon.Response, /, *args: Any, **kwargs: Any
        ) -> None:
            known: KnownAnswers = self.deps.known
            if not answered(known, req, resp, *args, **kwargs):
                responder(self, req, resp, *args, **kwargs)
                known.keep(req, resp)

        return cast(Responder, first)

    return decorate


def shown(req: falcon.Request, staging: Staging) -> None:
    """Note that the response to this request shows a staging and nothing else."""
    setattr(req.context, _SHOWN, staging)


@dataclass(frozen=True)
class _Known:
    """A cached response.

    Attributes:
        seen: the rows that it was built from.
        staged: the artifacts that it shows as completely staged.
    """

    seen: AnswerRows
    staged: Collection[str]
    body: bytes
    headers: tuple[tuple[str, str], ...]
    etag: str


def _staged(staging: Staging) -> frozenset[str]:
    """Return the requested artifacts that are completely staged."""
    shown = {each.name for each in staging.artifacts}
    return frozenset(shown - {each.name for each in staging.artifacts if each.state != "staged"})


def _send(resp: falcon.Response, known: _Known) -> None:
    resp.data = known.body
    resp.set_headers(known.headers)
