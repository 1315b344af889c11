"""The OpenAPI document: valid, whole, as committed, and a referee that does see a foul."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from falcon.inspect import inspect_routes
from jsonschema.exceptions import ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator

from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings
from tests import contract
from tests.service import STAGINGS, Client

PROBLEM: Mapping[str, Any] = {
    "type": "urn:staging-api:not_found",
    "title": "Not found",
    "status": 404,
    "detail": "there is no such staging",
    "instance": STAGINGS,
    "code": "not_found",
    "retryable": False,
    "request_id": "1",
}


#: By tag: the forms of errors that clients other than ours parse.
_FORMS_OF_OTHERS = {"devserver": {"text/plain"}, "configdocs": {"application/json"}}


def answered(status: int, body: object, media: str = "application/problem+json") -> None:
    """Hold an answer to the document, as if a pod had sent it."""
    contract.check("GET", f"{STAGINGS}/1", status, media, json.dumps(body).encode())


def test_it_is_a_valid_openapi_3_1_document() -> None:
    document = deepcopy(dict(contract.of_this_version()))
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_and_method_is_in_it_and_no_other() -> None:
    services = build(Settings.from_env(database_url="postgresql+psycopg2://nowhere/none"))
    try:
        routes = inspect_routes(api_of(services))
    finally:
        services.close()
    ours = {
        # What the router takes for a number or a path is a parameter like any other to a reader.
        (re.sub(":(int|path)", "", route.path), method.method.lower())
        for route in routes
        for method in route.methods
        if not method.internal
    }
    described = {
        (path, method)
        for path, operations in contract.of_this_version()["paths"].items()
        for method in operations
    }
    # HEAD is as GET without its body, and not described twice.
    heads = {(path, "head") for path, method in described if method == "get"} - described
    assert described == ours - heads


def test_every_operation_has_a_summary_and_its_refusals() -> None:
    """By a problem; on the paths of older clients, by what those clients show to people."""
    for path, operations in contract.of_this_version()["paths"].items():
        for method, shown in operations.items():
            where = f"{method} {path}"
            assert shown["summary"], where
            assert f"<{method.upper()}>" not in shown["summary"], f"{where} has no docstring"
            assert {"401", "403", "413", "414", "429", "431", "503"} <= set(shown["responses"]), (
                where
            )
            forms = {"application/problem+json"}
            forms |= _FORMS_OF_OTHERS.get(shown["tags"][0], set())
            for status, answer in shown["responses"].items():
                # Answers to HEAD have no body, nor have those that a file's conditions lead to.
                if status >= "400" and method != "head" and status not in {"412", "416"}:
                    content = set(contract.resolved(answer)["content"])
                    assert content <= forms or (path, status) == ("/readyz", "503"), where


def test_the_committed_copy_is_that_of_this_version() -> None:
    made = contract.written(contract.of_this_version())
    assert contract.COMMITTED.read_text() == made, contract.HOW_TO_RENEW


def test_a_pod_shows_the_same_document(client: Client) -> None:
    assert client.get("/openapi.json").json == contract.of_this_version()


def test_the_referee_lets_a_right_answer_pass() -> None:
    answered(404, PROBLEM)


@pytest.mark.parametrize(
    ("status", "body", "media"),
    [
        (500, PROBLEM, "application/problem+json"),
        (404, PROBLEM, "application/json"),
        (304, PROBLEM, "application/json"),
    ],
)
def test_the_referee_sees_an_answer_that_was_never_promised(
    status: int, body: object, media: str
) -> None:
    with pytest.raises(AssertionError):
        answered(status, body, media)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**PROBLEM, "status": "404"},
        {name: value for name, value in PROBLEM.items() if name != "retryable"},
        {**PROBLEM, "lock": {"id": "mine"}},
    ],
)
def test_the_referee_sees_a_body_of_another_form(body: object) -> None:
    with pytest.raises(ValidationError):
        answered(404, body)
