"""Rules of compatibility: each one detects a change of the API that breaks a client."""

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compatibility import RELEASED, WIDER_PATTERNS, breaks
from tests.contract import of_this_version

HOW = "a change that breaks clients needs /api/v2.0: see docs/reference/compatibility.md"


def released() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(RELEASED.read_text())
    return found


def test_this_version_breaks_no_client_of_the_last_release() -> None:
    assert breaks(released(), of_this_version()) == [], HOW


@pytest.mark.parametrize(("narrow", "wider"), WIDER_PATTERNS)
@given(st.data())
def test_a_wider_pattern_takes_all_that_the_one_before_took(
    narrow: str, wider: str, data: st.DataObject
) -> None:
    assert re.fullmatch(wider, data.draw(st.from_regex(narrow, fullmatch=True)))


def small() -> dict[str, Any]:
    """Return a document with one instance of everything that the rules cover."""
    thing = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "state": {"enum": ["new", "done"]},
            "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "required": ["id", "state"],
    }
    request = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "maxLength": 10, "minLength": 1},
            "mode": {"enum": ["fast", "safe"]},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["name"],
    }
    return {
        "paths": {
            "/things": {
                "post": {
                    "operationId": "create_thing",
                    "security": [{}, {"bearer": []}],
                    "parameters": [
                        {"$ref": "#/components/parameters/Marker"},
                        {"in": "query", "name": "limit", "schema": {"type": "integer"}},
                    ],
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Request"}}
                        }
                    },
                    "responses": {
                        "200": {
                            "content": {
                                "application/json": {
                                    "schema": {"$ref": "#/components/schemas/Thing"}
                                }
                            }
                        },
                        "404": {"description": "not there"},
                    },
                }
            },
            "/plain": {"get": {"operationId": "get_plain", "security": [], "responses": {}}},
        },
        "components": {
            "schemas": {
                "Thing": thing,
                "Request": request,
                "Part": {"type": "object", "properties": {"name": {"type": "string"}}},
            },
            "parameters": {
                "Marker": {"in": "header", "name": "X-Marker", "schema": {"type": "string"}}
            },
        },
    }


Change = Callable[[Any], object]


def post(document: Any) -> Any:
    return document["paths"]["/things"]["post"]


def thing(document: Any) -> Any:
    return document["components"]["schemas"]["Thing"]


def request_(document: Any) -> Any:
    return document["components"]["schemas"]["Request"]


NEW_PARAMETER = {"in": "query", "name": "must", "required": True, "schema": {"type": "string"}}
BREAKS: list[tuple[str, Change]] = [
    ("the operation is gone", lambda d: d["paths"].pop("/plain")),
    ("its id was create_thing", lambda d: post(d).update(operationId="make_thing")),
    ("no credential does not suffice", lambda d: post(d).update(security=[{"bearer": []}])),
    (
        "needs a credential now",
        lambda d: d["paths"]["/plain"]["get"].update(security=[{"bearer": []}]),
    ),
    ("parameter limit is not taken", lambda d: post(d)["parameters"].pop()),
    ("parameter limit is required now", lambda d: post(d)["parameters"][1].update(required=True)),
    ("parameter must is new and required", lambda d: post(d)["parameters"].append(NEW_PARAMETER)),
    (
        "parameter limit: it cannot be integer",
        lambda d: post(d)["parameters"][1].update(schema={"type": "string"}),
    ),
    ("a body is required now", lambda d: post(d)["requestBody"].update(required=True)),
    (
        "a body is required now",
        lambda d: d["paths"]["/plain"]["get"].update(requestBody={"required": True}),
    ),
    ("no body is taken", lambda d: post(d).pop("requestBody")),
    (
        "a body of application/json is not taken",
        lambda d: post(d)["requestBody"].update(content={"text/plain": {"schema": {}}}),
    ),
    ("body: mode is not taken", lambda d: request_(d)["properties"].pop("mode")),
    ("body: mode is required now", lambda d: request_(d)["required"].append("mode")),
    ("safe is not taken", lambda d: request_(d)["properties"]["mode"]["enum"].remove("safe")),
    (
        "only some words are taken now",
        lambda d: request_(d)["properties"]["name"].update(enum=["one"]),
    ),
    ("its maxLength is 5 now", lambda d: request_(d)["properties"]["name"].update(maxLength=5)),
    ("its minLength is 2 now", lambda d: request_(d)["properties"]["name"].update(minLength=2)),
    ("its pattern is another", lambda d: request_(d)["properties"]["name"].update(pattern="^a")),
    (
        "it cannot be null",
        lambda d: request_(d)["properties"].update(limit={"type": "integer"}),
    ),
    ("it does not answer 200", lambda d: post(d)["responses"].pop("200")),
    ("it may answer 202 now", lambda d: post(d)["responses"].update({"202": {}})),
    (
        "answer 200 is not application/json",
        lambda d: post(d)["responses"]["200"].update(content={"text/plain": {"schema": {}}}),
    ),
    ("answer 200: size is gone", lambda d: thing(d)["properties"].pop("size")),
    ("id may be left out now", lambda d: thing(d)["required"].remove("id")),
    (
        "id: it can be null now",
        lambda d: thing(d)["properties"]["id"].update(type=["string", "null"]),
    ),
    ("lost is a new word", lambda d: thing(d)["properties"]["state"]["enum"].append("lost")),
    (
        "any word is possible now",
        lambda d: thing(d)["properties"].update(state={"type": "string"}),
    ),
    ("it is closed", lambda d: thing(d).update(additionalProperties=False)),
    (
        "parts[]: name is gone",
        lambda d: d["components"]["schemas"]["Part"].update(properties={}),
    ),
    (
        "counts[]: it can be string now",
        lambda d: thing(d)["properties"]["counts"].update(
            additionalProperties={"type": ["integer", "string"]}
        ),
    ),
]


@pytest.mark.parametrize(
    ("said", "change"),
    BREAKS,
    ids=[f"{n}-{said.split(':')[0]}" for n, (said, _) in enumerate(BREAKS)],
)
def test_a_change_that_breaks_clients_is_told(said: str, change: Change) -> None:
    later = small()
    change(later)
    found = breaks(small(), later)
    assert any(said in line for line in found), found


GROWTH: list[tuple[str, Change]] = [
    ("operation", lambda d: d["paths"].update({"/new": {"get": {}}})),
    ("member of an answer", lambda d: thing(d)["properties"].update(more={"type": "string"})),
    ("member that is always there", lambda d: thing(d)["required"].append("parts")),
    ("optional member", lambda d: request_(d)["properties"].update(more={"type": "string"})),
    ("word that is taken", lambda d: request_(d)["properties"]["mode"]["enum"].append("new")),
    ("wider bound", lambda d: request_(d)["properties"]["name"].update(maxLength=20)),
    (
        "optional parameter",
        lambda d: post(d)["parameters"].append({**NEW_PARAMETER, "required": False}),
    ),
    ("refusal", lambda d: post(d)["responses"].update({"409": {}})),
    ("refusal that is gone", lambda d: post(d)["responses"].pop("404")),
    ("description", lambda d: thing(d).update(description="better")),
    ("narrower answer", lambda d: thing(d)["properties"].update(size={"type": "integer"})),
    ("further credential", lambda d: post(d)["security"].append({"keystone": []})),
]


@pytest.mark.parametrize(("name", "change"), GROWTH, ids=[name for name, _ in GROWTH])
def test_growth_breaks_nobody(name: str, change: Change) -> None:
    later = small()
    change(later)
    assert breaks(small(), later) == [], name


def test_what_did_not_change_is_not_told() -> None:
    assert breaks(small(), deepcopy(small())) == []
