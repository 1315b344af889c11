"""Permissions: no accidental access for the whole network, and a page that matches the code."""

from pathlib import Path

import pytest

from staging_api.errors import Invalid
from staging_api.http.permissions import ANYBODY
from staging_api.http.routes import ALLOWED
from staging_api.identity.model import Role
from staging_api.processes.configuration import check_anonymous_access
from staging_api.settings import Settings

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "identity.md"


@pytest.mark.parametrize(
    "bind",
    [
        *("0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", ":8080", "db:80", "127.0.0.1:80,10.0.0.1:80"),
        *("localhost.example.org:80", "127.x.example.org:80"),
    ],
)
def test_an_address_that_others_reach_needs_a_credential(bind: str):
    with pytest.raises(Invalid, match="STAGING_AUTH_NONE_ANYWHERE=yes"):
        check_anonymous_access(Settings.from_env(bind=bind))


@pytest.mark.parametrize(
    "bind",
    ["127.0.0.1:8080", "[::1]:8080", "localhost:0", "unix:/run/s", "127.0.0.2:80, localhost:80"],
)
def test_an_address_of_this_machine_alone_needs_none(bind: str):
    check_anonymous_access(Settings.from_env(bind=bind))


def test_anonymous_bind_is_allowed_when_confirmed():
    check_anonymous_access(Settings.from_env(bind="0.0.0.0:80", auth_none_anywhere="yes"))


def test_with_a_credential_any_address_will_do():
    check_anonymous_access(Settings.from_env(bind="0.0.0.0:80", auth="tokens"))


def table() -> str:
    """Return the table of permissions as the document has to show it."""
    lines = ["| route | method | " + " | ".join(Role) + " |", "|---|---|" + "---|" * len(Role)]
    for route, methods in ALLOWED.items():
        for method, roles in methods.items():
            marks = ["yes" if role in roles or roles == ANYBODY else "" for role in Role]
            lines.append(f"| `{route}` | {method} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


def test_a_device_may_read_files_and_nothing_else():
    """Exceptions: calls without a credential, and the device's own name and roles."""
    theirs = {
        (route, method)
        for route, methods in ALLOWED.items()
        for method, roles in methods.items()
        if Role.DEVICE in roles
    }
    assert theirs == {
        (route, method)
        for route in (
            "/static/{path:path}",
            "/static/archive/{path:path}",
            "/archive/{archive}/{path:path}",
        )
        for method in ("GET", "HEAD")
    } | {("/api/v1.0/me", "GET")}


def test_the_documented_table_is_that_of_the_code():
    assert table() in DOCUMENT.read_text(), f"the table should be:\n{table()}"
