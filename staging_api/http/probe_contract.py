"""OpenAPI descriptions of the probes, the metrics, the error pages and the document itself."""

from collections.abc import Mapping
from typing import Any

from staging_api.http.bodies import Ready
from staging_api.http.described import (
    ALWAYS,
    Described,
    operation,
    parameter,
    problem,
    problems,
    text,
)


def _json(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _probe(
    name: str, summary: str, answer: Described, **other: Described
) -> Mapping[str, Described]:
    answers = {
        **problems(*ALWAYS),
        "200": answer,
        **{k[1:]: described for k, described in other.items()},
    }
    return {"get": operation(name, summary, "probes", answers)}


def _errors(name: str, summary: str, *parameters: Described, **other: Described) -> Described:
    # By Accept: a page for browsers, text for all other clients.
    page = {"text/plain": {"schema": {"type": "string"}}, "text/html": {"schema": {}}}
    answers = {
        **problems(*ALWAYS),
        "200": {"description": "cause and cure of each", "content": page},
        **{k[1:]: described for k, described in other.items()},
    }
    return operation(name, summary, "errors", answers, parameters)


#: Schemas of these paths, for the components of the document.
PROBE_SCHEMAS: Mapping[str, Any] = {"Ready": Ready.model_json_schema()}
_READY = {"$ref": "#/components/schemas/Ready"}
_LIVE = {
    "type": "object",
    "properties": {"status": {"const": "live"}},
    "required": ["status"],
    "additionalProperties": False,
}

PROBE_PATHS: Mapping[str, Mapping[str, Described]] = {
    "/livez": _probe("get_livez", "Whether this process answers", _json("it does", _LIVE)),
    "/readyz": _probe(
        "get_readyz",
        "Whether requests should come here",
        _json("they should", _READY),
        # Not a problem document: its readers are kubelets, load balancers and people who look for a
        # cause.
        _503=_json("not ready; names the fault", _READY),
    ),
    "/metrics": _probe(
        "get_metrics", "Counters of all processes of this pod", text("in the form of Prometheus")
    ),
    "/openapi.json": _probe(
        "get_openapi", "This document", _json("OpenAPI 3.1", {"type": "object"})
    ),
    "/errors": {"get": _errors("list_errors", "Every error code, with its cause and its cure")},
    "/errors/{code}": {
        "get": _errors(
            "get_error",
            "One error code, with its cause and its cure",
            parameter("code", "such as `lock_held`", "path"),
            _404=problem("no error has this code"),
        )
    },
}
