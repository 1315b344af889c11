"""Examples of refusals, by schema name and status; a test validates each against its schema."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import falcon

from staging_api.http.described import MEANINGS
from staging_api.http.example_values import GRANT, REQUEST

#: By status: the code of the example, and whether it is retryable.
_REFUSALS: Mapping[int, tuple[str, bool]] = {
    400: ("invalid_request", False),
    401: ("unauthenticated", False),
    403: ("forbidden", False),
    404: ("not_found", False),
    405: ("method_not_allowed", False),
    409: ("lock_held", True),
    413: ("limit_exceeded", False),
    414: ("invalid_request", False),
    415: ("unsupported_media_type", False),
    422: ("archive_unsafe", False),
    429: ("too_many_requests", True),
    431: ("invalid_request", False),
    500: ("internal_error", False),
    502: ("source_failed", True),
    503: ("unavailable", True),
    504: ("upload_wait_over", True),
    507: ("no_space", True),
}


def refusal_example(schema: str, status: int) -> Mapping[str, Any] | None:
    """Return a refusal of this schema with this status; None: refusals have other schemas."""
    made = {"Problem": _problem, "Status": _status_document, "Ready": _not_ready}.get(schema)
    return None if made is None else made(status)


def _problem(status: int) -> Mapping[str, Any]:
    code, retryable = _REFUSALS[status]
    document: dict[str, Any] = {
        "type": f"urn:staging-api:{code}",
        "title": MEANINGS[status].capitalize(),
        "status": status,
        "detail": MEANINGS[status],
        "instance": "/api/v1.0/stagings",
        "code": code,
        "retryable": retryable,
        "request_id": REQUEST,
        "help": f"/errors/{code}",
    }
    if status == HTTPStatus.BAD_REQUEST:
        document["errors"] = [{"field": "archive_url", "message": "is missing"}]
    if code == "lock_held":
        names = ("id", "kind", "scope", "holder", "reference_id", "acquired_at", "expires_at")
        document["lock"] = {name: GRANT[name] for name in names} | {"expires_in_seconds": 41.3}
    return document


def _status_document(status: int) -> Mapping[str, Any]:
    """Return the document that clients of Shipyard expect instead of a problem."""
    code, retryable = _REFUSALS[status]
    return {
        "kind": "status",
        "apiVersion": "v1.0",
        "metadata": {},
        "status": "Failure",
        "message": MEANINGS[status].capitalize(),
        "reason": MEANINGS[status],
        "code": falcon.util.code_to_http_status(status),
        # For these clients a held lock is no reason to retry.
        "retry": retryable and code != "lock_held",
        "details": {
            "errorType": "ApiError",
            "errorCount": 1,
            "messageList": [{"message": MEANINGS[status], "error": True}],
        },
    }


def _not_ready(_status: int) -> Mapping[str, Any]:
    return {"status": "not_ready", "checks": {"database": "does not answer", "store": "ok"}}
