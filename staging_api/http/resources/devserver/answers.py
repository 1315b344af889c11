"""Answers as devserver clients read them: one word, or text, to the byte.

Such a client takes every status but 200 for final, and shows the body, less its tags, to its user.
In a 200 it compares the whole body with ``Success`` or ``True``; one with ``Service Unavailable``
in it makes the client ask again every five seconds for a minute. Over ssh it sees no status at all:
there only ``DownloaderException`` in the body says that it failed.
"""

import re

import falcon

from staging_api.errors import StagingApiError, TooManyRequests, Unavailable
from staging_api.http.problems import advise

SUCCESS = "Success"
BUSY = "Service Unavailable"
_FAILED = "DownloaderException"
#: What must not be in a text by accident, as clients act on it.
_SIGNALS = re.compile(f"{BUSY}|Proxy Error|{_FAILED}")
_TAGS = str.maketrans({"<": "(", ">": ")", "&": "+"})
_MAX_MESSAGE_LENGTH = 1000
#: Statuses that say something to operators; these clients know 200 and 500.
_TELLING = frozenset({401, 403, 405, 409, 413, 415, 429, 503})


def say(resp: falcon.Response, text: str | bytes) -> None:
    """Answer with this text and no more."""
    resp.content_type = falcon.MEDIA_TEXT
    resp.data = text.encode() if isinstance(text, str) else text


def not_there(resp: falcon.Response, text: str) -> None:
    """Answer 404 with a reason."""
    resp.status = falcon.HTTP_404
    say(resp, legible(text))


def word_error(
    _req: falcon.Request, resp: falcon.Response, status: int, error: StagingApiError
) -> None:
    """Answer an error where one word is the answer.

    What can pass by itself (no slot, the database away) is a 200 that makes the client ask again.
    """
    if isinstance(error, Unavailable | TooManyRequests):
        say(resp, BUSY)
    else:
        _refuse(resp, status, error, f"{_FAILED}: ")


def text_error(
    _req: falcon.Request, resp: falcon.Response, status: int, error: StagingApiError
) -> None:
    """Answer an error where text or JSON is the answer; it never looks like data."""
    _refuse(resp, status, error)


def status_error(
    _req: falcon.Request, resp: falcon.Response, status: int, error: StagingApiError
) -> None:
    """Answer an error to clients that know the statuses of HTTP."""
    resp.status = falcon.util.code_to_http_status(status)
    advise(resp, error)
    say(resp, legible(error.detail))


def legible(text: str) -> str:
    """A message without anything that a client strips, or takes for a signal."""
    line = "".join(c if c.isprintable() else " " for c in text.translate(_TAGS))
    return _SIGNALS.sub(lambda found: found[0].lower(), line[:_MAX_MESSAGE_LENGTH])


def _refuse(resp: falcon.Response, status: int, error: StagingApiError, prefix: str = "") -> None:
    resp.status = falcon.util.code_to_http_status(status if status in _TELLING else 500)
    advise(resp, error)
    say(resp, prefix + legible(error.detail))
