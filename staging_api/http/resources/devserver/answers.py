"""Answers as devserver clients read them: one word, or text, to the byte.

Such a client takes every status but 200 for final, and shows the body, less its tags, to its user.
In a 200 it compares the whole body with ``Success`` or ``True``; one with ``Service Unavailable``
in it makes the client ask again every five seconds for a minute. Over ssh it sees no status at all:
there only ``DownloaderException`` in the body says that it failed.
"""

import logging
import re
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import falcon

from staging_api.errors import LockHeld, LockLost, StagingApiError, Unavailable
from staging_api.http.problems import retry_after

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Responder = Callable[Concatenate[R, falcon.Request, falcon.Response, P], None]

SUCCESS = "Success"
BUSY = "Service Unavailable"
_FAILED = "DownloaderException"
#: What must not be in a text by accident, as clients act on it.
_SIGNALS = re.compile(f"{BUSY}|Proxy Error|{_FAILED}")
_TAGS = str.maketrans({"<": "(", ">": ")", "&": "+"})
_MAX_MESSAGE_LENGTH = 1000


def answers_word(responder: Responder[R, P]) -> Responder[R, P]:
    """Let a responder answer one word; errors become text.

    What can pass by itself (no seat, the database away) is a 200 that makes the client ask again.
    """

    def failed(resp: falcon.Response, error: StagingApiError) -> None:
        if isinstance(error, Unavailable):
            say(resp, BUSY)
            return
        refuse(resp, error, f"{_FAILED}: {error.detail}")

    return _answering(responder, failed)


def answers_text(responder: Responder[R, P]) -> Responder[R, P]:
    """Let a responder answer with text or JSON; errors become text, and never look like data."""

    def failed(resp: falcon.Response, error: StagingApiError) -> None:
        refuse(resp, error, error.detail)

    return _answering(responder, failed)


def say(resp: falcon.Response, text: str | bytes) -> None:
    """Answer with this text and no more."""
    resp.content_type = falcon.MEDIA_TEXT
    resp.data = text.encode() if isinstance(text, str) else text


def not_there(resp: falcon.Response, text: str) -> None:
    """Answer 404 with a reason."""
    resp.status = falcon.HTTP_404
    say(resp, legible(text))


def refuse(resp: falcon.Response, error: StagingApiError, text: str) -> None:
    """Answer with an error: 500 as these clients know it, unless another status says more."""
    resp.status = falcon.HTTP_500
    if isinstance(error, LockHeld | LockLost):
        resp.status = falcon.HTTP_409
    elif isinstance(error, Unavailable):
        resp.status = falcon.HTTP_503
    if error.retryable:
        resp.set_header("Retry-After", str(retry_after(error)))
    kept = _FAILED if text.startswith(_FAILED) else ""
    say(resp, kept + legible(text.removeprefix(kept)))


def legible(text: str) -> str:
    """A message without anything that a client strips, or takes for a signal."""
    line = "".join(c if c.isprintable() else " " for c in text.translate(_TAGS))
    return _SIGNALS.sub(lambda found: found[0].lower(), line[:_MAX_MESSAGE_LENGTH])


def _answering(
    responder: Responder[R, P], failed: Callable[[falcon.Response, StagingApiError], None]
) -> Responder[R, P]:
    @wraps(responder)
    def answered(
        self: R, req: falcon.Request, resp: falcon.Response, /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            responder(self, req, resp, *args, **kwargs)
        except StagingApiError as error:
            failed(resp, error)
        except Exception:
            # As in problems.py: the text of a surprise may hold anything.
            log.exception("unexpected error")
            failed(resp, StagingApiError("an unexpected error; the log has it"))

    return answered
