"""Hand-written OpenAPI descriptions of paths whose requests and responses no model describes."""

from collections.abc import Iterable, Mapping
from typing import Any

from staging_api.http.bodies import Problem

#: Statuses that every route may return.
ALWAYS = (400, 401, 403, 413, 414, 429, 431, 503)
#: Statuses that are returned before the route is known.
BEFORE_ROUTING = (414, 431)

Described = Mapping[str, Any]

#: Descriptions of all response headers.
HEADERS = {
    "Accept-Ranges": "bytes",
    "Content-Disposition": "of a folder as one file: the name to save it under",
    "Content-Range": "which part of how much",
    "Content-Security-Policy": "no page of a build runs as one of this site",
    "ETag": "the version, of what has one",
    "Idempotent-Replayed": "true: the first answer to this Idempotency-Key, once more",
    "Last-Modified": "when it came to be, of what cannot change twice in a second",
    "Location": "where it is",
    "Preference-Applied": "what was kept of `Prefer`",
    "Repr-Digest": "its sha256",
    "Retry-After": "whole seconds; where the same request can succeed later",
    "WWW-Authenticate": "the credential to bring",
    "X-Accel-Redirect": "for nginx in front of us: what it has to send",
    "X-Redacted": "true: secrets are hidden in it",
    "X-Request-Id": "names this request in the log",
    "X-Shipyard-Req": "the same, where clients of configdocs look for it",
}

#: Headers of every refusal.
MEANINGS = {
    400: "the request is not valid",
    401: "a credential is missing, or not valid",
    403: "the caller's roles do not allow it",
    404: "it is not there",
    405: "no caller may use this method",
    409: "another request works on it, or it is not as this needs it",
    413: "the body is too long",
    414: "the request line is too long",
    415: "the body is of another media type",
    422: "what was sent, or lies at the source, cannot be used",
    502: "the source failed",
    504: "the upload did not finish in time",
    507: "there is no space left",
    429: "the caller asks too often, or too much at once",
    431: "the headers are too long, or too many",
    500: "it failed; the text says why",
    501: "the program for it is not installed",
    503: "not now: Retry-After",
}


def problem(description: str) -> dict[str, Any]:
    """Describe a refusal with a problem document."""
    # The builder of the document gives every problem its media type.
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def text(description: str) -> dict[str, Any]:
    """Describe a plain text response."""
    return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}


def problems(*statuses: int) -> dict[str, Any]:
    """Describe refusals with these statuses, each with a problem document."""
    return {str(status): problem(MEANINGS[status]) for status in statuses}


def texts(*statuses: int) -> dict[str, Any]:
    """Describe refusals with these statuses, each with a line of text."""
    return {str(status): text(MEANINGS[status]) for status in statuses}


def parameter(
    name: str,
    description: str,
    where: str = "query",
    *,
    required: bool = False,
    schema: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe a parameter; a string, unless `schema` is given."""
    return {
        "name": name,
        "in": where,
        "required": required or where == "path",
        "schema": schema or {"type": "string"},
        "description": description,
    }


def operation(
    name: str,
    summary: str,
    tag: str,
    responses: Mapping[str, Described],
    parameters: Iterable[Described] = (),
) -> dict[str, Any]:
    """Describe one method of a path."""
    return {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "parameters": list(parameters),
        "responses": dict(responses),
    }


def headers(*names: str) -> dict[str, Any]:
    """Describe headers that a response has, or may have."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
