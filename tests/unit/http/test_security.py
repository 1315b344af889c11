"""Security schemes in the OpenAPI document, for each way in which callers sign in."""

import pytest

from staging_api.http.permissions import ANYBODY, OPERATORS, READERS
from staging_api.http.published import Security
from staging_api.identity.model import Role

BEARER: dict[str, list[str]] = {"bearer": []}
KEYSTONE: dict[str, list[str]] = {"keystone": []}
NOBODY: frozenset[Role] = frozenset()


@pytest.mark.parametrize(
    ("auth", "schemes"),
    [
        ("none", set()),
        ("tokens", {"bearer"}),
        ("oidc", {"bearer"}),
        ("keystone", {"keystone", "bearer"}),
        (None, {"bearer", "keystone"}),
    ],
)
def test_a_service_names_the_schemes_of_its_mode_alone(auth: str | None, schemes: set[str]) -> None:
    assert set(Security.of(auth, NOBODY).schemes) == schemes


def test_without_authentication_no_operation_needs_a_credential() -> None:
    assert Security.of("none", frozenset(Role)).needed(OPERATORS) == []


def test_what_anonymous_callers_may_do_needs_no_credential_and_the_rest_does() -> None:
    security = Security.of("keystone", frozenset({Role.VIEWER}))
    assert security.needed(READERS) == [{}, KEYSTONE, BEARER]
    assert security.needed(OPERATORS) == [KEYSTONE, BEARER]
    assert security.needed(ANYBODY) == []


def test_what_no_role_may_do_is_open_to_nobody() -> None:
    assert Security.of("tokens", frozenset(Role)).needed(None) == [BEARER]


def test_the_document_of_services_of_every_kind_leaves_it_open() -> None:
    assert Security.of(None, NOBODY).needed(OPERATORS) == [{}, BEARER, KEYSTONE]


def test_schemes_of_the_two_bearers_differ_in_what_they_say() -> None:
    tokens, issued = (Security.of(auth, NOBODY).schemes["bearer"] for auth in ("tokens", "oidc"))
    assert "bearerFormat" not in tokens
    assert issued["bearerFormat"] == "JWT"
