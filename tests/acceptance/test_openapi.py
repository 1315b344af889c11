"""The OpenAPI document: valid, complete, as committed; and its checker detects violations."""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
from falcon.inspect import inspect_routes
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator

from staging_api.http.openapi import spec
from staging_api.http.operation_names import operation_id
from staging_api.http.published import operations_of
from staging_api.http.resources.devserver.help import OUT_OF_SCOPE
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
    "help": "/errors/not_found",
    "request_id": "1",
}


#: Error formats that clients other than ours parse, by tag.
_FORMS_OF_OTHERS = {"devserver": {"text/plain"}, "configdocs": {"application/json"}}


def answered(status: int, body: object, media: str = "application/problem+json") -> None:
    """Check a response against the document, as if a pod had sent it."""
    contract.check("GET", f"{STAGINGS}/1", status, media, json.dumps(body).encode())


def is_out_of_scope(path: str) -> bool:
    """Return whether a devserver path only answers that it is not served."""
    return path.removesuffix("/{rest}").strip("/") in OUT_OF_SCOPE


def bodies(*, of_requests: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each JSON body of requests or responses in the document, with its location."""
    for path, operations in contract.of_this_version()["paths"].items():
        for method, shown in operations.items():
            found = [("", shown["requestBody"])] if "requestBody" in shown else []
            answers = [] if of_requests else list(shown["responses"].items())
            for status, answer in found if of_requests else answers:
                for media, body in contract.resolved(answer).get("content", {}).items():
                    if media.endswith("json"):
                        yield f"{method} {path} {status}", body


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
        # The router's converters of numbers and paths are plain parameters in the document.
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
    # Paths that are not served do not belong in clients.
    ours = {(path, method) for path, method in ours if not is_out_of_scope(path)}
    # A devserver path with a trailing slash shares the description of the path without.
    ours = {(path.rstrip("/") or path, method) for path, method in ours} - {("/doc", "get")}
    # HEAD is GET without a body, and is not described separately.
    heads = {(path, "head") for path, method in described if method == "get"} - described
    assert described == ours - heads


def test_every_operation_has_a_summary_and_its_refusals() -> None:
    """By a problem; on the paths of older clients, by text that those clients show to users."""
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
                # Responses to HEAD, and to conditional requests for unchanged files, have no body.
                if status >= "400" and method != "head" and status not in {"412", "416"}:
                    content = set(contract.resolved(answer)["content"])
                    assert content <= forms or (path, status) == ("/readyz", "503"), where


def test_every_operation_has_an_id_that_is_a_name_in_any_language() -> None:
    found = [
        shown["operationId"]
        for operations in contract.of_this_version()["paths"].values()
        for shown in operations.values()
    ]
    assert [name for name in found if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)] == []
    assert len(found) == len(set(found))


def test_operations_without_a_name_are_named_by_their_paths() -> None:
    assert operation_id("/api/v1.0/new-things", "get") == "get_new_things"
    assert operation_id("/api/v1.0/new-things/{id}", "patch") == "update_new_things_by_id"


def test_every_operation_says_which_credentials_it_takes() -> None:
    document = contract.of_this_version()
    schemes = set(document["components"]["securitySchemes"])
    for path, operations in document["paths"].items():
        for method, shown in operations.items():
            named = {name for each in shown["security"] for name in each}
            assert named in (set(), schemes), f"{method} {path}"
    assert document["paths"]["/livez"]["get"]["security"] == []
    assert {} in document["paths"][STAGINGS]["post"]["security"]


def test_answers_are_open_and_requests_are_not() -> None:
    document = contract.of_this_version()["components"]["schemas"]
    answers = [
        (where, schema)
        for where, body in bodies(of_requests=False)
        for schema in reached(body["schema"])
    ]
    names = [
        (where, body["schema"].get("$ref", "").rpartition("/")[2])
        for where, body in bodies(of_requests=True)
    ]
    requests = [(where, document[name]) for where, name in names if name]
    assert min(len(answers), len(requests)) > 5
    for where, schema in answers:
        assert schema.get("additionalProperties") is not False, where
    for where, schema in requests:
        assert schema["additionalProperties"] is False, where


def reached(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object of a schema, and of the schemas that it refers to."""
    if isinstance(part, list):
        for each in part:
            yield from reached(each)
    elif isinstance(part, dict):
        found = contract.resolved(part)
        yield found
        for name, value in found.items():
            # The catalogue of a failed check is the only schema that could be recursive.
            if name != "example":
                yield from reached(value)


def test_every_example_is_valid_and_every_body_of_ours_has_one() -> None:
    components = contract.held_to()["components"]
    checker = Draft202012Validator.FORMAT_CHECKER
    without = []
    for where, body in (*bodies(of_requests=True), *bodies(of_requests=False)):
        if "example" in body:
            schema = {**body["schema"], "components": components}
            Draft202012Validator(schema, format_checker=checker).validate(body["example"])
        elif "$ref" in body["schema"]:
            without.append(where)
    assert without == []


def test_the_example_of_each_refusal_has_its_status() -> None:
    shown = set()
    for _, path, operation in operations_of(contract.of_this_version()["paths"]):
        for status, answer in operation["responses"].items():
            for body in contract.resolved(answer).get("content", {}).values():
                example = body.get("example", {})
                named = str(example.get("code" if example.get("kind") else "status", ""))
                if status.startswith(("4", "5")) and named != "not_ready" and example:
                    assert named.startswith(status), (path, status)
                    shown.add(status)
    assert {"400", "404", "409", "503"} <= shown


def test_a_second_document_of_a_process_is_the_same() -> None:
    first = contract.of_this_version()
    contract.of_this_version.cache_clear()
    assert contract.of_this_version() == first


def test_no_two_models_have_one_name() -> None:
    """With equal names, the document would show one in the place of the other."""
    models = {model for model, _ in spec.declared}
    names = [model.__name__ for model in models]
    assert [name for name in names if names.count(name) > 1] == []


def test_no_schema_is_left_over() -> None:
    document = contract.of_this_version()
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named == set(document["components"]["schemas"])


def test_the_committed_copy_is_that_of_this_version() -> None:
    made = contract.written(contract.of_this_version())
    assert contract.COMMITTED.read_text() == made, contract.HOW_TO_RENEW


def test_a_pod_shows_the_same_document(client: Client) -> None:
    shown, described = client.get("/openapi.json").json, deepcopy(dict(contract.of_this_version()))
    # This pod has no authentication; the document of this version is for services of every kind.
    assert shown["components"].pop("securitySchemes") == {}
    assert described["components"].pop("securitySchemes").keys() == {"bearer", "keystone"}
    for _, _, operation in operations_of(shown["paths"]):
        assert operation.pop("security") == []
    for _, _, operation in operations_of(described["paths"]):
        del operation["security"]
    assert shown == described


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
def test_the_response_checker_rejects_a_wrong_body(body: object) -> None:
    with pytest.raises(ValidationError):
        answered(404, body)
