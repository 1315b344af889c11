"""Send a request again until it is answered or its time is over.

What if the service dies? Connection refused: the request is sent again. Killed after it read the
request, or before its answer arrived: the same request is sent again, a POST with the same
Idempotency-Key, so that finished work is answered and not repeated. Frozen: the same after
two minutes without a byte, to the process that answers next.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from staging_api.client.connections import Connections, Content, Response
from staging_api.client.pacing import Deadline, OnRetry, retrying
from staging_api.client.problems import problem
from staging_api.errors import AnswerUnusable, LockHeld

#: One wait in the service's queue for a lock; half of what the service permits by default.
_QUEUE_SECONDS = 30.0
#: Left for the answer of a request that queues until shortly before its deadline.
_ANSWER_SECONDS = 1.0


@dataclass(frozen=True)
class Reply:
    """An answer that is not an error; `document` is None for one without a body."""

    status: int
    headers: Mapping[str, str]
    document: Any


async def exchange(
    connections: Connections,
    method: str,
    path: str,
    deadline: Deadline,
    *,
    body: Mapping[str, Any] | None = None,
    content: Content | None = None,
    headers: Mapping[str, str] | None = None,
    on_retry: OnRetry | None = None,
    queues: bool = False,
) -> Reply:
    """Send a request until its answer would not change by a retry.

    Args:
        connections: to the service.
        method: of HTTP.
        path: below the address of the service, quoted.
        deadline: for all tries together.
        body: sent as JSON.
        content: alternative to `body`: sent as it is, from its beginning with each try.
        headers: of this request.
        on_retry: called before each wait.
        queues: whether to wait in the service's queue for a held lock before coming again.

    Raises:
        StagingApiError: the error in the answer; the last one when the time is over.
        Unreachable: nothing listens at the address of the service.
        Unavailable: the service was out of reach for too long.
        DeadlineOver: it took the request, and did not answer in time.
        AnswerUnusable: the answer is not one of this service.
    """
    content = content if body is None else json.dumps(body).encode()
    sent = {} if body is None else {"Content-Type": "application/json"}

    async def attempt() -> Reply:
        wait = _queue_seconds(deadline) if queues else 0
        given = _preferring({**sent, **(headers or {})}, wait)
        began = time.monotonic()
        try:
            async with connections.sent(method, path, deadline, given, content) as answer:
                return await _reply(answer)
        except LockHeld as error:
            if wait and time.monotonic() - began >= wait:
                # The request has waited in the service's queue: queue again at once.
                error.retry_after_seconds = None
            raise

    return await retrying(
        attempt,
        deadline,
        connections.pacing,
        connections.pause,
        on_retry=on_retry,
        reached=lambda: connections.reached,
    )


def _queue_seconds(deadline: Deadline) -> int:
    """Return how long to queue: less than the deadline, so that the refusal still arrives."""
    return int(max(0.0, min(_QUEUE_SECONDS, deadline.remaining_seconds() - _ANSWER_SECONDS)))


def _preferring(headers: Mapping[str, str], wait: int) -> Mapping[str, str]:
    if not wait:
        return headers
    preferences = filter(None, [headers.get("Prefer"), f"wait={wait}"])
    return {**headers, "Prefer": ", ".join(preferences)}


async def _reply(answer: Response) -> Reply:
    body = await answer.read()
    if answer.status >= 400:  # noqa: PLR2004 - errors, RFC 9110
        raise problem(answer.status, answer.headers, body)
    if answer.status == 304:  # noqa: PLR2004 - Not Modified
        return Reply(answer.status, answer.headers, None)
    if answer.status >= 300:  # noqa: PLR2004 - redirections
        raise AnswerUnusable(f"the service is not here but at {answer.headers.get('Location')}")
    try:
        return Reply(answer.status, answer.headers, json.loads(body))
    except (ValueError, RecursionError):
        said = body[:100].decode(errors="replace")
        raise AnswerUnusable(f"status {answer.status} with what is not JSON: {said!r}") from None
