"""API reference in words: forms of values, examples, addresses, permissions."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from staging_api.ui.screen import roles_of
from staging_api.ui.screens import reference
from staging_api.ui.screens.reference import OperationResponse, Parameter


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (None, ""),
        ({}, ""),
        ({"$ref": "#/components/schemas/Staging"}, "Staging"),
        ({"enum": ["held", 2], "type": "string"}, "held or 2"),
        ({"anyOf": [{"type": "string"}, {}, {"type": "null"}]}, "string or null"),
        ({"type": "array", "items": {"type": "integer"}}, "list of integer"),
        ({"type": "array"}, "list of values"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({"type": "boolean"}, "boolean"),
        ({"title": "Anything"}, ""),
    ],
)
def test_a_value_is_described_in_a_few_words(schema: Any, words: str) -> None:
    assert reference._form(schema) == words


def test_an_example_is_the_one_of_all_or_the_first_of_several() -> None:
    first, second = {"value": {"a": "ä"}}, {"value": {"b": 2}}
    assert reference._example({}) == reference._example({"examples": {}}) == ""
    several = {"examples": {"one": first, "two": second}}
    assert reference._example(several) == '{\n  "a": "ä"\n}'
    assert reference._example(several, indent=None) == '{"a": "ä"}'
    assert reference._example({**several, "example": [1]}, indent=None) == "[1]"
    assert reference._example({"example": "as it is"}) == "as it is"


def test_an_address_has_what_is_given_in_its_place() -> None:
    parameters = [
        Parameter(name, place, "", required=False, meaning="")
        for name, place in (("one", "path"), ("two", "path"), ("q", "query"), ("X-A", "header"))
    ]
    given = {"one": "a/b", "two": "", "q": "c d", "X-A": "e"}
    assert reference._address("/x/{one}/{two}", parameters, given) == "/x/a%2Fb/{two}?q=c+d"
    given |= {"q": "", "two": "2"}
    assert reference._address("/x/{one}/{two}", parameters, given) == "/x/a%2Fb/2"


DOCUMENT = {
    "info": {"title": "staging"},
    "components": {
        "parameters": {"Limit": {"name": "limit", "in": "query", "description": "how many"}},
        "responses": {"Gone": {"description": "it is gone", "content": {"text/plain": {}}}},
    },
    "paths": {
        "/b": {
            "parameters": [],
            "post": {
                "operationId": "make",
                "tags": ["work", "rare"],
                "responses": {
                    "404": {"$ref": "#/components/responses/Gone"},
                    "201": {
                        "description": "made",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    "200": {
                        "content": {"application/xml": {"schema": {"type": "string"}}},
                    },
                },
            },
        },
        "/a/{id}": {
            "get": {
                "operationId": "look",
                "parameters": [
                    {"$ref": "#/components/parameters/Limit"},
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                ],
                "responses": {"204": {"description": "nothing"}},
            },
        },
        "/api/v1.0/stagings": {
            method: {"operationId": f"{method}_stagings", "tags": ["devserver"], "responses": {}}
            for method in ("post", "head", "trace")
        },
    },
}


def shown(auth: str = "tokens", **query: str) -> Any:
    deps = SimpleNamespace(api_document=DOCUMENT, auth=auth)
    return reference.show(cast(Any, deps), cast(Any, SimpleNamespace(query=query)))


def test_operations_stand_below_what_they_are_about_and_those_of_others_apart() -> None:
    content = shown()
    names = {
        part: {tag: [each.id for each in group] for tag, group in content.context[part].items()}
        for part in ("groups", "others")
    }
    assert names == {
        "groups": {"other": ["look"], "work": ["make"]},
        "others": {"devserver": ["post_stagings", "head_stagings"]},
    }
    assert not content.live
    post, _ = content.context["others"]["devserver"]
    assert (post.method, post.roles) == ("POST", sorted(roles_of("POST /stagings")))
    assert content.context["groups"]["work"][0].roles == []


def test_an_operation_shows_its_parameters_and_answers_by_status() -> None:
    look = shown(op="look", **{"p.id": "7", "p.limit": "3"})
    assert look.context["parameters"] == [
        Parameter("limit", "query", "", required=False, meaning="how many"),
        Parameter("id", "path", "string", required=True, meaning=""),
    ]
    assert look.context["answers"] == [OperationResponse("204", "nothing", "", "")]
    assert look.copies.path == "/a/7?limit=3"
    assert shown(op="make").context["answers"] == [
        OperationResponse("200", "", "string, application/xml", ""),
        OperationResponse("201", "made", "object", ""),
        OperationResponse("404", "it is gone", "text/plain", ""),
    ]


def test_only_a_get_that_is_filled_in_is_tried() -> None:
    def tried(**query: str) -> tuple[str, list[str]]:
        found = shown(**query).context
        return found["address"], found["missing"]

    assert tried(op="look", **{"p.id": "7"}) == ("", [])
    assert tried(op="look", **{"try": "yes", "p.id": "7"}) == ("/a/7", [])
    assert tried(op="look", **{"try": "yes"}) == ("", ["id"])
    assert tried(op="make", **{"try": "yes"}) == ("", [])


def test_a_call_is_open_here_without_authentication_or_without_roles() -> None:
    found = {
        (auth, op): shown(auth, op=op).context["open_here"]
        for auth in ("tokens", "none")
        for op in ("make", "post_stagings")
    }
    assert [pair for pair, is_open in found.items() if not is_open] == [("tokens", "post_stagings")]
    assert json.loads(shown(op="make").copies.body or "null") is None
