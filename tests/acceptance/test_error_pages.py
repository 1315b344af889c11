"""Help on error codes: each code has a cause, a cure, a page, and a link target."""

import importlib
import pkgutil
from typing import Any

import pytest

import staging_api
from staging_api import errors
from staging_api.error_help import ERROR_HELP
from staging_api.error_help.answers import OF_HTTP
from staging_api.http.problems import _CODE_OF_STATUS, STATUS_OF
from staging_api.settings import Settings
from tests import errors_page
from tests.service import STAGINGS, Client


def tree(kind: type[errors.StagingApiError]) -> list[type[errors.StagingApiError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in tree(child))]


def codes() -> set[str]:
    """Return the codes of all error classes, in whatever module, and of refusals by HTTP."""
    for module in pkgutil.walk_packages(staging_api.__path__, "staging_api."):
        if not module.name.endswith((".__main__", ".wsgi")):
            importlib.import_module(module.name)
    own = [
        kind
        for kind in tree(errors.StagingApiError)
        if kind.__module__.startswith("staging_api.") and not kind.__name__.startswith("_")
    ]
    return {kind.code for kind in own} | set(_CODE_OF_STATUS.values()) | {"http_error"}


@pytest.mark.filterwarnings("ignore:'cgi' is deprecated")  # by a library, on its import
def test_every_code_has_its_cause_and_its_cure_and_no_other_has() -> None:
    assert set(ERROR_HELP) == codes()
    for code, told in ERROR_HELP.items():
        assert told.cause.endswith("."), code
        assert told.cure.endswith("."), code


def test_a_code_of_http_is_no_class_of_ours() -> None:
    assert not {kind.code for kind in STATUS_OF} & set(OF_HTTP)


def test_the_page_is_made_from_the_table() -> None:
    how = "run `python -m tests.errors_page` and commit docs/reference/errors.md"
    assert errors_page.PAGE.read_text() == errors_page.page(), how


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{STAGINGS}/nothing", "not_found"),
        (f"{STAGINGS}?limit=0", "invalid_request"),
        ("/api/v1.0/nowhere", "not_found"),
        ("/api/v1.0/document-differences?old=999999999&new=committed", "not_found"),
        ("/api/v1.0/document-differences?old=yesterday", "documents_request_invalid"),
    ],
)
def test_a_problem_leads_to_its_cure(client: Client, path: str, code: str) -> None:
    problem: dict[str, Any] = client.get(path).json
    assert problem["help"] == f"/errors/{code}"
    told = client.get(problem["help"])
    assert told.status == 200
    assert told.headers["content-type"].startswith("text/plain")
    assert ERROR_HELP[code].cure in told.body.decode()


@pytest.mark.parametrize("code", sorted(ERROR_HELP))
def test_every_code_can_be_looked_up_on_the_service(client: Client, code: str) -> None:
    assert client.get(f"/errors/{code}").body.decode().startswith(f"{code}: ")


def test_a_browser_gets_a_page_without_anything_from_elsewhere(client: Client) -> None:
    browser = "text/html,application/xhtml+xml,*/*;q=0.8"
    for path in ("/errors", "/errors/lock_held"):
        shown = client.get(path, Accept=browser)
        assert shown.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in shown.headers["content-security-policy"]
        assert '<h2 id="lock_held">' in shown.body.decode()
        assert "://" not in shown.body.decode()


def test_a_code_that_does_not_exist_is_not_found(client: Client) -> None:
    assert client.get("/errors/no_such_code").status == 404


def test_help_may_lead_to_a_page_of_the_operator() -> None:
    from falcon.testing import TestClient

    from staging_api.processes.application import api_of
    from staging_api.processes.bootstrap import build

    url = "https://docs.example.org/errors.html"
    nowhere = "postgresql+psycopg2://nowhere/none"
    services = build(Settings.from_env(database_url=nowhere, errors_url=url))
    try:
        found = TestClient(api_of(services)).simulate_get("/api/v1.0/nowhere").json
    finally:
        services.close()
    assert found["help"] == f"{url}#not_found"
