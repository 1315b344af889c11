"""Additions that make the OpenAPI document a contract: open responses, credentials, examples.

The models of bodies are strict in both directions, so that a field which is not declared is found
by a test. The document is strict for requests only: a response may have members that it does not
describe, so generated clients keep working when a member is added. Schemas that nothing refers to
are left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from staging_api.http.examples import EXAMPLES
from staging_api.http.permissions import ANYBODY, Roles
from staging_api.http.refusal_examples import refusal_example
from staging_api.identity.model import Role

_REFERENCE = "#/components/schemas/"

#: Relative to the document's URL: a client that reads it from a service calls that service.
SERVERS = [{"url": "/", "description": "the service that this document comes from"}]

_BEARER = {"type": "http", "scheme": "bearer"}
_TOKENS = "a token of the service's list"
_OIDC = "an access token of the service's issuer"
_KEYSTONE = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Auth-Token",
    "description": "a token of Keystone",
}
#: Security schemes by the value of STAGING_AUTH.
_SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "tokens": {"bearer": {**_BEARER, "description": _TOKENS}},
    "oidc": {"bearer": {**_BEARER, "bearerFormat": "JWT", "description": _OIDC}},
    "keystone": {
        "keystone": _KEYSTONE,
        "bearer": {**_BEARER, "description": _KEYSTONE["description"]},
    },
}
#: Security of a document that describes services of every kind.
_EVERY: Mapping[str, Any] = {
    "bearer": {
        **_BEARER,
        "description": f"STAGING_AUTH=tokens: {_TOKENS}; oidc: {_OIDC};"
        " keystone: a token of Keystone."
        " With STAGING_AUTH=none, on loopback only, no credential is needed.",
    },
    "keystone": {**_KEYSTONE, "description": "STAGING_AUTH=keystone: a token of Keystone"},
}


@dataclass(frozen=True)
class Security:
    """Ways in which callers of a service authenticate.

    Attributes:
        schemes: security schemes by name.
        anonymous: roles of callers without a credential; None: they depend on the service.
    """

    schemes: Mapping[str, Any]
    anonymous: frozenset[Role] | None

    @classmethod
    def of(cls, auth: str | None, anonymous: frozenset[Role]) -> "Security":
        """Return the security of a service with this STAGING_AUTH; None: for any service."""
        return cls(_EVERY, None) if auth is None else cls(_SCHEMES[auth], anonymous)

    def needed(self, roles: Roles | None) -> list[dict[str, list[str]]]:
        """Return the credentials that each suffice for an operation; {} stands for none."""
        if roles == ANYBODY or not self.schemes:
            return []
        is_open = self.anonymous is None or bool((roles or ANYBODY) & self.anonymous)
        credentials: list[dict[str, list[str]]] = [{name: []} for name in self.schemes]
        return [{}, *credentials] if is_open else credentials


def with_security(
    paths: Mapping[str, Any], roles: Mapping[str, Mapping[str, Roles]], security: Security
) -> None:
    """Describe for each operation which credential it requires.

    Args:
        paths: paths of the document.
        roles: roles that may call an operation, by path and method.
        security: the credentials that callers can use.
    """
    for path, method, operation in operations_of(paths):
        operation["security"] = security.needed(roles.get(path, {}).get(method.upper()))


def with_open_answers(document: Mapping[str, Any]) -> None:
    """Allow further members in responses, and remove schemas that nothing refers to."""
    schemas = document["components"]["schemas"]
    asked: set[str] = set()
    answered: set[str] = set()
    for _, _, operation in operations_of(document["paths"]):
        asked |= _reached(schemas, [operation.get("requestBody"), operation.get("parameters")])
        answered |= _reached(schemas, [operation["responses"]])
    answers = [operation["responses"] for _, _, operation in operations_of(document["paths"])]
    for part in _objects([*answers, *(schemas[name] for name in answered - asked)]):
        if part.get("additionalProperties") is False:
            del part["additionalProperties"]
    for name in schemas.keys() - asked - answered:
        del schemas[name]


def without_null_defaults(document: Mapping[str, Any]) -> None:
    """Remove defaults of null: a generator takes a field with a default as always present."""
    for schema in document["components"]["schemas"].values():
        for part in _objects(schema):
            if part.get("default", "") is None:
                del part["default"]


def with_examples(paths: Mapping[str, Any]) -> None:
    """Add an example to each body that has one, and to each refusal."""
    for _, _, operation in operations_of(paths):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            _show_example(media, EXAMPLES.get(_schema_name(media)))
        for status, response in operation["responses"].items():
            refuses = status.startswith(("4", "5"))
            for media in response.get("content", {}).values():
                name = _schema_name(media)
                refusal = refusal_example(name, int(status)) if refuses else None
                _show_example(media, refusal or EXAMPLES.get(name))


def operations_of(paths: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and description of each operation."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield path, method, operation


def _schema_name(media: Mapping[str, Any]) -> str:
    name: str = media.get("schema", {}).get("$ref", "").removeprefix(_REFERENCE)
    return name


def _show_example(media: dict[str, Any], example: Mapping[str, Any] | None) -> None:
    if example is not None:
        media["example"] = example


def _reached(schemas: Mapping[str, Any], parts: Iterable[Any]) -> set[str]:
    """Return the names of all schemas that these parts refer to, directly or indirectly."""
    found: set[str] = set()
    waiting = list(parts)
    while waiting:
        for part in _objects(waiting.pop()):
            reference = part.get("$ref", "")
            name = reference.removeprefix(_REFERENCE) if isinstance(reference, str) else ""
            if name in schemas and name not in found:
                found.add(name)
                waiting.append(schemas[name])
    return found


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a part of the document, itself included."""
    if isinstance(part, dict):
        yield part
        # A copy: callers delete members during the iteration.
        for value in list(part.values()):
            yield from _objects(value)
    elif isinstance(part, list):
        for value in part:
            yield from _objects(value)
