"""Responses as devserver clients parse them, to the byte: one word, or text.

Such a client treats every status but 200 as final, and shows the body, without its tags, to its
user. In a 200 it compares the whole body with ``Success`` or ``True``; a body that contains
``Service Unavailable`` makes the client retry every five seconds for a minute. Over ssh the client
sees no status: only ``DownloaderException`` in the body shows a failure.
"""

import re

import falcon

from staging_api.errors import StagingApiError, TooManyRequests, Unavailable
from staging_api.http.problems import advise

SUCCESS = "Success"
BUSY = "Service Unavailable"
_FAILED = "DownloaderException"
#: Words that a text must not contain by accident, as clients act on them.
_SIGNALS = re.compile(f"{BUSY}|Proxy Error|{_FAILED}")
_TAGS = str.maketrans({"<": "(", ">": ")", "&": "+"})
_MAX_MESSAGE_LENGTH = 1000
#: Statuses for operators; these clients know 200 and 500.
_TELLING = frozenset({401, 403, 405, 409, 413, 415, 429, 503})


def say(resp: falcon.Response, text: str | bytes) -> None:
    """Answer with this text only."""
    resp.content_type = falcon.MEDIA_TEXT
    resp.data = text.encode() if isinstance(text, str) else text


def not_there(resp: falcon.Response, text: str) -> None:
    """Answer 404 with a reason."""
    resp.status = falcon.HTTP_404
    say(resp, legible(text))


def word_error(
    _req: falcon.Request, resp: falcon.Response, status: int, error: StagingApiError
) -> None:
    """Answer an error on paths whose response is one word.

    A temporary error (no waiter slot, no database) is a 200 that makes the client retry.
    """
    if isinstance(error, Unavailable | TooManyRequests):
        say(resp, BUSY)
    else:
        _refuse(resp, status, error, f"{_FAILED}: ")


def text_error(
    _req: falcon.Request, resp: falcon.Response, status: int, error: StagingApiError
) -> None:
    """Answer an error on paths whose response is text or JSON; the error never looks like data."""
    _refuse(resp, status, error)


def status_error(
    _req: falcon.Request, resp: falcon.Response, status: int, error: StagingApiError
) -> None:
    """Answer an error to clients that understand HTTP's statuses."""
    resp.status = falcon.util.code_to_http_status(status)
    advise(resp, error)
    say(resp, legible(error.detail))


def legible(text: str) -> str:
    """Return a message without tags and words that a client would strip or act on."""
    line = "".join(c if c.isprintable() else " " for c in text.translate(_TAGS))
    return _SIGNALS.sub(lambda found: found[0].lower(), line[:_MAX_MESSAGE_LENGTH])


def _refuse(resp: falcon.Response, status: int, error: StagingApiError, prefix: str = "") -> None:
    resp.status = falcon.util.code_to_http_status(status if status in _TELLING else 500)
    advise(resp, error)
    say(resp, prefix + legible(error.detail))
