"""OpenAPI descriptions of the paths of configdocs, whose errors are Status documents."""

from collections.abc import Iterable, Mapping
from typing import Any

from staging_api.http.described import (
    ALWAYS,
    BEFORE_ROUTING,
    MEANINGS,
    Described,
    headers,
    operation,
    parameter,
    problems,
)
from staging_api.vocabulary.documents import BUFFER_MODES

_TAG = "configdocs"
_JSON = "application/json"
_YAML = "application/x-yaml"
_STATUS = {"$ref": "#/components/schemas/Status"}
_VERSIONS = ["buffer", "committed", "last_site_action", "successful_site_action"]

_CONFIRM_UNTIL = {
    "type": "string",
    "format": "date-time",
    "description": "the commit is undone then, unless it is confirmed; only while that may be",
}
_MESSAGE = {
    "type": "object",
    "required": ["message", "error"],
    "properties": {
        "message": {"type": "string"},
        "error": {"type": "boolean"},
        "kind": {"type": "string"},
        "name": {"type": ["string", "null"]},
        "level": {"type": "string"},
        "source": {"type": ["string", "null"]},
        "documents": {"type": "array", "items": {"type": "object"}},
    },
}
#: Schemas of this surface, for the components of the document.
SCHEMAS: Mapping[str, Any] = {
    "Status": {
        "title": "Status",
        "description": "An error (kind `status`), or the result of validations (kind `Status`).",
        "type": "object",
        "required": [
            *("kind", "apiVersion", "metadata", "status", "message", "reason", "details", "code")
        ],
        "properties": {
            # As a pattern: generators would give enumeration values that differ only in case one
            # name.
            "kind": {"type": "string", "pattern": "^[sS]tatus$"},
            "apiVersion": {"const": "v1.0"},
            "metadata": {"type": "object"},
            "status": {"enum": ["Success", "Failure"]},
            "message": {"type": "string"},
            "reason": {"type": "string"},
            "code": {"type": "string", "pattern": "^[1-5][0-9][0-9] "},
            "retry": {"type": "boolean"},
            "revision": {"type": "integer", "description": "what was validated"},
            "digest": {"type": "string", "description": "of what was validated"},
            "confirm_until": _CONFIRM_UNTIL,
            "builds": {"type": "array", "items": {"type": "object"}},
            "details": {
                "type": "object",
                "required": ["errorCount", "messageList"],
                "properties": {
                    "errorType": {"type": "string"},
                    "errorCount": {"type": "integer"},
                    "messageList": {"type": "array", "items": _MESSAGE},
                },
            },
        },
    },
    "CollectionStatus": {
        "title": "CollectionStatus",
        "type": "object",
        "required": [
            *("collection_name", "base_version", "base_revision", "base_status"),
            *("new_version", "new_revision", "new_status"),
        ],
        "properties": {
            "collection_name": {"type": "string"},
            "base_version": {"enum": _VERSIONS},
            "base_revision": {"type": "integer", "description": "0: there is none"},
            "base_status": {"enum": ["present", "not present"]},
            "new_version": {"enum": _VERSIONS},
            "new_revision": {"type": "integer"},
            "new_status": {"enum": ["unmodified", "modified", "created", "deleted"]},
            "confirm_until": _CONFIRM_UNTIL,
        },
    },
}

_FLAG = {"type": "string", "pattern": "^([tT]rue|[fF]alse|t|f|yes|no)$"}
_COLLECTION = parameter(
    "collection", "its name", "path", schema={"type": "string", "minLength": 1, "maxLength": 36}
)
_REVISION = {"type": "integer", "minimum": 1, "maximum": (1 << 63) - 1}
_VERSION = parameter("version", "which version; default: buffer", schema={"enum": _VERSIONS})
_SECRETS = parameter("cleartext-secrets", "show secrets; for operators", schema=_FLAG)
_REASON = parameter("reason", "why, for the record", schema={"type": "string", "maxLength": 500})
_IF_MATCH = parameter("If-Match", "the ETag of what was reviewed: 409 if it has moved", "header")
_KEY = parameter(
    "Idempotency-Key", "the same request sent again with it gets the same answer", "header"
)
_PREFER = parameter("Prefer", "`wait=N`: wait at most N seconds for the lock", "header")
_VERBOSITY = parameter(
    "verbosity",
    "taken, and of no effect",
    schema={"type": "integer", "minimum": 0, "maximum": 5},
)


def _answer(
    description: str, media: str, schema: Mapping[str, Any], *others: str
) -> dict[str, Any]:
    return {
        "description": description,
        "content": {media: {"schema": schema}},
        "headers": headers("X-Shipyard-Req", *others),
    }


def _status(description: str) -> dict[str, Any]:
    return _answer(description, _JSON, _STATUS)


def _yaml(description: str) -> dict[str, Any]:
    return _answer(description, _YAML, {"type": "string"}, "X-Redacted")


def _operation(
    name: str,
    summary: str,
    answers: Mapping[str, Any],
    *parameters: Described,
    refused: Iterable[int] = (),
) -> dict[str, Any]:
    """Describe one method: `answers`, the refusals of all paths, and those in `refused`."""
    statuses = (*(status for status in ALWAYS if status not in BEFORE_ROUTING), 500, *refused)
    refusals = {str(status): _status(MEANINGS[status]) for status in statuses}
    every = {**refusals, **problems(*BEFORE_ROUTING), **answers}
    return operation(name, summary, _TAG, every, [*parameters, _VERBOSITY])


_UNCHANGED = {
    "304": {
        "description": "as If-None-Match says",
        "headers": headers("X-Shipyard-Req", "X-Redacted"),
    }
}
_IF_NONE_MATCH = parameter("If-None-Match", "the ETag that is known: 304 while it holds", "header")
_TWO_VERSIONS = {"type": "array", "items": {"enum": _VERSIONS}, "minItems": 2, "maxItems": 2}
_COMPARED = {"type": "array", "items": {"$ref": "#/components/schemas/CollectionStatus"}}
_PATH = "/api/v1.0"

CONFIGDOCS_PATHS: Mapping[str, Mapping[str, Described]] = {
    "/versions": {
        "get": _operation(
            "get_versions",
            "List the versions of the API",
            {"200": _answer("the versions", _JSON, {"type": "object"})},
        )
    },
    f"{_PATH}/health": {
        "get": _operation(
            "get_health",
            "Whether the API answers",
            {"204": {"description": "it does", "headers": headers("X-Shipyard-Req")}},
        )
    },
    f"{_PATH}/configdocs": {
        "get": _operation(
            "get_configdocs_status",
            "Compare two versions, collection by collection",
            {**_UNCHANGED, "200": _answer("one entry for each collection", _JSON, _COMPARED)},
            parameter(
                "versions", "two of them; default: committed and buffer", schema=_TWO_VERSIONS
            ),
            _IF_NONE_MATCH,
            refused=[404],
        )
    },
    f"{_PATH}/configdocs/{{collection}}": {
        "get": _operation(
            "get_configdocs",
            "Give a collection back as it was posted",
            {**_UNCHANGED, "200": _yaml("its documents; nothing where the buffer deletes it")},
            *(_COLLECTION, _VERSION, _SECRETS, _IF_NONE_MATCH),
            refused=[404],
        ),
        "post": {
            **_operation(
                "post_configdocs",
                "Put a collection of documents into the buffer",
                {"201": _status("it is in the buffer; what its validations say")},
                _COLLECTION,
                parameter(
                    "buffermode",
                    "what to do with a buffer that is not empty",
                    schema={"enum": list(BUFFER_MODES)},
                ),
                parameter("empty-collection", "remove all its documents", schema=_FLAG),
                *(_REASON, _IF_MATCH, _KEY, _PREFER),
                refused=[404, 409, 415, 422],
            ),
            "requestBody": {
                "description": "its documents, a YAML stream",
                "content": {_YAML: {"schema": {"type": "string", "format": "binary"}}},
            },
        },
    },
    f"{_PATH}/commitconfigdocs": {
        "post": _operation(
            "commit_configdocs",
            "Validate the buffer, and make it the committed version",
            {"200": _status("committed, or validated by a dry run")},
            parameter("force", "commit in spite of errors", schema=_FLAG),
            parameter("dryrun", "validate only; goes before force", schema=_FLAG),
            parameter(
                "revision",
                "the revision that was reviewed: 409 if the buffer is another one",
                schema=_REVISION,
            ),
            parameter(
                "confirm_within",
                "seconds after which the commit is undone, unless it is confirmed",
                schema={"type": "integer", "minimum": 1, "maximum": 604800},
            ),
            parameter("stage", "stage the builds that its documents name", schema=_FLAG),
            *(_REASON, _IF_MATCH, _KEY, _PREFER),
            refused=[409, 422],
        )
    },
    f"{_PATH}/renderedconfigdocs": {
        "get": _operation(
            "get_renderedconfigdocs",
            "Give the rendered documents of a version",
            {**_UNCHANGED, "200": _yaml("all documents, layered and with their substitutions")},
            _VERSION,
            parameter("revision", "or of a revision, then without a version", schema=_REVISION),
            *(_SECRETS, _IF_NONE_MATCH),
            refused=[404, 409],
        )
    },
}
