"""Command lines to copy from a page, and visibility of navigation entries."""

import shlex

import pytest

from staging_api.errors import Invalid, LockHeld, NoSpace, NotFound
from staging_api.identity.model import Role
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.problem import problem_of
from staging_api.ui.routes import SCREENS
from staging_api.ui.shell import NavItem, _item

IMPORT = "from staging_api.client import StagingClient"
SERVER = "http://127.0.0.1:8080"


def test_each_form_is_offered_that_there_is() -> None:
    assert Copies("/a").forms(SERVER, with_token=False) == [("curl", f"curl -sS {SERVER}/a")]
    all_forms = Copies("/a", cli="staging-api a", python="print(1)", sql="SELECT 1;")
    assert all_forms.forms(SERVER, with_token=False)[1:] == [
        ("command line", f"export STAGING_SERVER={SERVER}\nstaging-api a"),
        (
            "Python",
            f'{IMPORT}\n\nwith StagingClient("{SERVER}") as client:\n    print(1)',
        ),
        ("SQL", "SELECT 1;"),
    ]


def test_curl_has_method_credential_and_body_where_they_are_needed() -> None:
    copies = Copies("/a?b=c d", method="POST", body='{"a": "it\'s"}')
    for with_token in (True, False):
        ((_, line),) = copies.forms(SERVER, with_token=with_token)
        header = ["-H", "Authorization: Bearer $STAGING_TOKEN"] if with_token else []
        body = ["-H", "Content-Type: application/json", "-d", '{"a": "it\'s"}']
        words = ["curl", "-sS", "-X", "POST", *header, *body, f"{SERVER}/a?b=c d"]
        assert shlex.split(line) == words
        # The shell expands the variable only between double quotes.
        assert ('"Authorization: Bearer $STAGING_TOKEN"' in line) is with_token


def test_an_address_has_the_parameters_that_are_given() -> None:
    assert api_path("/locks/a b") == "/api/v1.0/locks/a%20b"
    assert api_path("/locks", state=None, scope="") == "/api/v1.0/locks"
    assert api_path("/locks", state="all", limit=0) == "/api/v1.0/locks?state=all&limit=0"


def shown(path: str, at: str, *roles: Role) -> NavItem:
    (screen,) = [each for each in SCREENS if each.path == path]
    return _item(screen, at, frozenset(roles))


def test_an_entry_is_current_on_its_page_and_those_below() -> None:
    current = {
        (path, at): shown(path, at).current
        for path in ("/", "/ui/apt", "/ui/api")
        for at in ("/", "/ui/apt", "/ui/apt/tools", "/ui/api")
    }
    assert [pair for pair, is_current in current.items() if is_current] == [
        ("/", "/"),
        ("/ui/apt", "/ui/apt"),
        ("/ui/apt", "/ui/apt/tools"),
        ("/ui/api", "/ui/api"),
    ]


def test_an_entry_names_the_roles_that_its_caller_lacks() -> None:
    assert shown("/ui/api", "/").needs == ""
    assert shown("/ui/audit", "/", Role.AUDITOR).needs == ""
    lacking = shown("/ui/audit", "/").needs
    assert lacking.startswith("needs ")
    assert "auditor" in lacking.split(" or ") or "needs auditor" in lacking


def test_an_error_says_what_helps_and_when() -> None:
    held = problem_of(
        LockHeld("it is held", retry_after_seconds=7, extra={"lock": {"id": "1"}}), "request-1"
    )
    assert (held.retry_seconds, held.lock, held.request_id) == (7, {"id": "1"}, "request-1")
    assert held.advice.startswith("Wait until it is released")
    gone = problem_of(NotFound("there is none"), "")
    assert (gone.retry_seconds, gone.lock, gone.fields) == (None, None, ())
    # A page without its own words uses those for every reader.
    assert problem_of(NoSpace("full"), "").advice


@pytest.mark.parametrize(("field", "said"), [("until", "is no day"), ("since", "")])
def test_what_is_wrong_with_a_field_is_said_of_that_field(field: str, said: str) -> None:
    wrong = problem_of(Invalid.field("until", "is no day"), "")
    assert wrong.of_field(field) == said
