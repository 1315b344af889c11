"""Route table: the form of errors, the help and the permission of each row."""

from typing import Any

import falcon
import pytest

from staging_api.errors import StagingApiError
from staging_api.http.permissions import ANYBODY, OPERATORS, STAGERS, Permissions
from staging_api.http.resources.devserver.routes import DEVSERVER_ROUTES
from staging_api.http.route import Route, error_forms
from staging_api.http.routes import ALLOWED, ROUTES


def words(
    _req: falcon.Request, _resp: falcon.Response, _status: int, _error: StagingApiError
) -> None:
    """Answer with one word."""


def lines(
    _req: falcon.Request, _resp: falcon.Response, _status: int, _error: StagingApiError
) -> None:
    """Answer with a line."""


def row(path: str, **more: Any) -> Route:
    return Route(path, {"GET": ANYBODY}, lambda _deps: object(), **more)


def test_a_path_and_what_lies_below_it_may_have_errors_of_two_forms():
    rows = [
        row("/fetch", errors=words),
        row("/fetch/{bucket}/{path:path}", errors=lines),
        row("/api/info/{path:path}", errors=lines),
        row("/plain"),
    ]
    assert error_forms(rows) == {"fetch": words, "fetch/": lines, "api/info": lines}


def test_openapi_knows_no_converters():
    described = row("/a/{number:int}/b/{path:path}/{name}")
    assert described.openapi_path == "/a/{number}/b/{path}/{name}"


def test_a_path_has_one_row():
    paths = [route.path for route in ROUTES]
    assert len(paths) == len(set(paths))


def test_a_path_without_a_row_is_for_no_role_and_others_keep_theirs():
    permissions = Permissions({"/a": {"GET": STAGERS, "DELETE": OPERATORS}, "/b": {"GET": ANYBODY}})
    assert permissions.roles_for("/a", "POST") is None
    assert permissions.roles_for("/c", "GET") is None
    assert permissions.roles_for(None, "GET") is None
    assert permissions.roles_for("/a", "GET") == STAGERS
    assert permissions.methods_of("/a") == ["GET", "DELETE"]
    assert permissions.methods_of("/c") == []


@pytest.mark.parametrize(
    ("path", "method", "changes"),
    [
        ("/download", "GET", True),
        ("/download/{bucket}/{path:path}", "GET", True),
        ("/is_staged", "GET", False),
        ("/livez", "GET", False),
        ("/api/v1.0/locks/{lock_id}", "DELETE", True),
    ],
)
def test_a_get_that_stages_changes_something(path, method, changes):
    assert Permissions(ALLOWED).changes_something(path, method) == changes


def test_every_answer_of_the_devserver_s_paths_has_a_form_its_clients_parse():
    assert all(route.errors is not None for route in DEVSERVER_ROUTES)
