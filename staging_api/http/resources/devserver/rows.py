"""Constructors of rows of the devserver's route table, with contract and form of errors."""

from collections.abc import Iterable, Mapping
from typing import Any

from staging_api.http.described import (
    ALWAYS,
    BEFORE_ROUTING,
    Described,
    operation,
    parameter,
    problems,
    text,
    texts,
)
from staging_api.http.permissions import Roles
from staging_api.http.problems import ErrorForm
from staging_api.http.resources.devserver.answers import text_error, word_error
from staging_api.http.route import Make, Route

TAG = "devserver"
WAIT = parameter(
    "upload_wait_seconds",
    "how long to wait for an archive that is still being uploaded",
    schema={"type": "number", "minimum": 0, "maximum": 86400},
)
SUCCESS = text("`Success`; `Service Unavailable`: ask again in some seconds")

# A status says less here than elsewhere: these clients know 200 and 500.
REFUSED = {
    **texts(*(status for status in ALWAYS if status not in {400, *BEFORE_ROUTING})),
    **texts(405, 409, 415, 500),
    **problems(*BEFORE_ROUTING),
}


def json_of(description: str) -> Mapping[str, Any]:
    """Describe a JSON response."""
    return {"description": description, "content": {"application/json": {"schema": {}}}}


def row(
    path: str,
    resource: type[Any],
    roles: Roles,
    contract: Mapping[str, Described],
    *,
    errors: ErrorForm = text_error,
    make: Make | None = None,
) -> Route:
    """Return the route of a path, with its resource and roles."""
    methods = {method.upper(): roles for method in contract}
    return Route(path, methods, make or resource, contract, errors, resource)


def text_row(
    path: str,
    resource: type[Any],
    roles: Roles,
    summary: str,
    answer: Described,
    *parameters: Described,
    name: str = "",
    refused: Iterable[int] = (),
    errors: ErrorForm = text_error,
    make: Make | None = None,
) -> Route:
    """Return the route of a path that only answers GET; errors are lines of text."""
    name = name or path.partition("/{")[0].rpartition("/")[2]
    answers = {**REFUSED, **texts(*refused), "200": answer}
    contract = {"get": operation(name, summary, TAG, answers, parameters)}
    return row(path, resource, roles, contract, errors=errors, make=make)


def word_row(
    path: str, resource: type[Any], roles: Roles, summary: str, *parameters: Described
) -> Route:
    """Return the route of a path whose response is one word."""
    return text_row(path, resource, roles, summary, SUCCESS, *parameters, errors=word_error)
