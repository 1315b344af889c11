"""Request validation and the OpenAPI document, from the same models and routes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from threading import Lock
from typing import Any, Literal, TypeVar

import falcon
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from spectree import Response, SpecTree

from staging_api.errors import FieldError, Invalid
from staging_api.http.bodies import Problem
from staging_api.http.described import ALWAYS, HEADERS, MEANINGS, headers, parameter
from staging_api.http.operation_names import operation_id, tag_of
from staging_api.http.parameters import meant
from staging_api.http.problems import MEDIA_PROBLEM
from staging_api.http.published import (
    SERVERS,
    Security,
    operations_of,
    with_examples,
    with_open_answers,
    with_security,
    without_null_defaults,
)
from staging_api.http.route import Route

_Model = TypeVar("_Model", bound=BaseModel)
_Mode = Literal["validation", "serialization"]


def _refuse(
    _req: Any,
    _resp: Any,
    error: Exception | None,
    _resource: Any,
    _adapter: Any,
) -> None:
    # Raised, because the library's own response would have the same form on all paths.
    if isinstance(error, ValidationError):
        raise _invalid(error)


# Replacements for messages in which the library speaks of its own classes and inputs.
_PLAINER = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this request",
    "model_type": "must be a JSON object",
    "timezone_aware": "must say its offset from UTC, such as Z",
}


class _Spec(SpecTree):
    """Registry that builds the schemas of models only when the document is requested.

    The library builds them where a route is declared: in each process, though few processes need
    them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Models of routes, each as a request or a response.
        self.declared: dict[tuple[type[BaseModel], _Mode], None] = {}
        self._mutex = Lock()
        super().__init__(*args, **kwargs)

    def document(self, app: falcon.App[Any, Any]) -> dict[str, Any]:
        """Return the OpenAPI document of the declared routes of `app`."""
        with self._mutex:
            self.app = app
            # The library removes nested schemas from the others while it builds the document.
            self.models = {}
            for model, mode in self.declared:
                super()._add_model(model, mode)
            return dict(self._generate_spec())  # the cached property would mix up two apps

    def _add_model(self, model: type[BaseModel], mode: _Mode = "validation") -> str:
        self.declared[model, mode] = None
        return str(self.naming_strategy(model))


spec = _Spec(
    "falcon",
    mode="strict",
    before=_refuse,
    validation_error_status=400,
    validation_error_model=Problem,
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, child: child,
    title="staging_api",
    version="v1.0",
    openapi_version="3.1.0",
    description="Every answer says how browsers may treat it: X-Content-Type-Options,"
    " X-Frame-Options, Referrer-Policy, Cache-Control; a stream of events, X-Accel-Buffering too;"
    " what depends on the headers of the request, Vary."
    " HEAD, where Allow lists it, is as GET without its body. An answer may have members that"
    " are not described here: leave out what you do not know. Every problem has a `help` that leads"
    " to cause and cure of its `code`.",
)


def validated(model: type[_Model], media: object) -> _Model:
    """Validate the body of a request whose kind is known only after reading, and return the model.

    Raises:
        Invalid: the body does not fit the model.
    """
    try:
        return model.model_validate(media)
    except ValidationError as error:
        raise _invalid(error) from None


def contract(
    *problems: int,
    json: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    headers: type[BaseModel] | None = None,
    **answers: type[BaseModel] | None,
) -> Callable[..., Any]:
    """Validate the requests of a responder by models, and describe its responses.

    Args:
        problems: statuses of the problems that it may raise, beside those of every route.
        json, query, headers: models of the parts of the request.
        answers: response models by ``HTTP_200`` and so on; None: without a body.
    """
    documents = {f"HTTP_{status}": Problem for status in (*ALWAYS, *problems)}
    resp = Response(**{**documents, **answers})
    return spec.validate(json=json, query=query, headers=headers, resp=resp)


def document(
    app: falcon.App[Any, Any],
    routes: Sequence[Route],
    schemas: Mapping[str, Any],
    security: Security,
) -> Mapping[str, Any]:
    """Return the OpenAPI 3.1 document of the routes of `app`.

    Args:
        app: application whose responders have models.
        routes: route table, with the operations of paths that no model describes.
        schemas: schemas that those operations refer to.
        security: the credentials that callers can use.
    """
    made = spec.document(app)
    contracts = {route.openapi_path: route.contract for route in routes if route.contract}
    # The library escapes the dots of a path for a router of its own; our paths have no backslash.
    made["paths"] = {path.replace("\\", ""): described for path, described in made["paths"].items()}
    for operations in made["paths"].values():
        operations.pop("head", None)  # as GET, without its body
    for path, method, operation in operations_of(made["paths"]):
        operation["operationId"] = operation_id(path, method)
        operation["tags"] = [tag_of(path)]
    made["tags"] = [{"name": tag} for tag in dict.fromkeys(map(tag_of, made["paths"]))]
    # Copied by way of JSON text: an object that several operations or responses share, such as the
    # schema of their problems, becomes a separate copy in each. The code below changes each
    # separately.
    made["paths"] |= json.loads(json.dumps(contracts))
    for _, _, operation in operations_of(made["paths"]):
        _finish(operation)
    made["components"]["schemas"] |= deepcopy(dict(schemas))
    with_security(made["paths"], {route.openapi_path: route.roles for route in routes}, security)
    with_open_answers(made)
    without_null_defaults(made)
    with_examples(made["paths"])
    del made["security"]  # each operation has its own
    made["servers"] = SERVERS
    made["components"]["headers"] = {name: _header(means) for name, means in HEADERS.items()}
    made["components"]["parameters"] = {_MARKER["name"]: _MARKER}
    made["components"]["responses"] = _shared(made["paths"])
    made["components"]["securitySchemes"] = security.schemes
    return made


def _invalid(error: ValidationError) -> Invalid:
    """Build one problem for all errors; never with the input, which may be secret."""
    fields = {model.__name__: model.model_fields for model, _ in spec.declared}.get(error.title, {})
    known = [field.alias or name for name, field in fields.items()]
    wrong = [
        FieldError(".".join(str(part) for part in one["loc"]) or "body", _plain(one, known))
        for one in error.errors(include_url=False, include_input=False)
    ]
    return Invalid("; ".join(f"{w.field}: {w.message}" for w in wrong), wrong)


def _plain(one: ErrorDetails, known: Sequence[str]) -> str:
    """Return the message for a field; for an unknown one, with the known field of like spelling."""
    message = _PLAINER.get(one["type"], one["msg"].removeprefix("Value error, "))
    if one["type"] == "extra_forbidden" and len(one["loc"]) == 1:
        likely = meant(str(one["loc"][0]), known)
        return f"{message}; did you mean {likely}?" if likely else message
    return message


def _finish(operation: dict[str, Any]) -> None:
    """Add what the library leaves out: headers, and the media type of problems."""
    given = operation.get("parameters", [])
    for parameter_ in given:
        parameter_["schema"] = _never_null(parameter_["schema"])
    operation["parameters"] = [*given, *_HEADERS_IN]
    for status, response in operation["responses"].items():
        response["headers"] = headers(*_headers_out(status)) | response.get("headers", {})
        if status.startswith(("4", "5")) and _PROBLEM in response.get("content", {}).values():
            response["content"] = {MEDIA_PROBLEM: dict(_PROBLEM)}
            response["description"] = MEANINGS.get(int(status), response["description"])


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null from a parameter's schema: it means absence there; no client can send it."""
    kinds = schema.get("anyOf", [])
    if {"type": "null"} not in kinds:
        return schema
    (kind,) = (kind for kind in kinds if kind != {"type": "null"})
    return {**{k: value for k, value in schema.items() if k not in {"anyOf", "default"}}, **kind}


def _headers_out(status: str) -> Iterator[str]:
    """Yield the headers that a response with this status has, or may have."""
    yield from ("X-Request-Id", "Idempotent-Replayed")
    if status.startswith(("2", "3")):
        yield from ("ETag", "Location", "Preference-Applied")
    if status.startswith(("4", "5")):
        yield "Retry-After"
    if status == "401":
        yield "WWW-Authenticate"


def _header(meaning: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "description": meaning}


def _shared(paths: Mapping[str, Any]) -> Mapping[str, Any]:
    """Move each refusal that many operations share into the components, and refer to it."""
    refusals: dict[str, Any] = {}
    for _, _, operation in operations_of(paths):
        for status, response in operation["responses"].items():
            if not status.startswith(("4", "5")):
                continue
            media = next(iter(response.get("content", {"": None})))
            name = f"{_REFUSALS.get(media, 'Empty')}{status}"
            if refusals.setdefault(name, response) == response:
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return refusals


_PROBLEM = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}
_REFUSALS = {MEDIA_PROBLEM: "Problem", "text/plain": "Text", "application/json": "Report"}
_MARKER = parameter(
    "X-Context-Marker",
    "stored as reference_id with every lock and staging the request makes",
    "header",
    # A pattern instead of a format: a generated client would pass a UUID to its HTTP library, which
    # accepts text only.
    schema={"type": "string", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"},
)
_HEADERS_IN = [{"$ref": f"#/components/parameters/{_MARKER['name']}"}]
