"""Table of permissions: checked for every route, role and kind of credential."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
import pytest
from falcon import inspect
from falcon.testing import TestClient
from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.http.permissions import ANYBODY, Permissions
from staging_api.http.routes import ALLOWED
from staging_api.identity.model import Role
from staging_api.locks import store
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE
from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.processes.services import Services
from staging_api.settings import Settings
from tests.factories import ORIGIN, lock_request
from tests.issuer import AUDIENCE, Issuer, issuing, new_key

PERMISSIONS = Permissions(ALLOWED)
CALLS = [(route, method) for route, methods in ALLOWED.items() for method in methods]
GUARDED = [call for call in CALLS if PERMISSIONS.roles_for(*call) != ANYBODY]
RULES = ",".join(f"{role}:role={role}" for role in Role)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture(scope="module")
def of_nobody() -> Any:
    """Return a key unknown to the issuer; one for all tests, as such look-ups are limited."""
    return new_key()


@pytest.fixture(scope="module")
def services(issuer: Issuer, database_url: str, tmp_path_factory: Any) -> Iterator[Services]:
    """Yield one process that trusts the issuer."""
    made = build(settings(database_url, tmp_path_factory.mktemp("home"), issuer))
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(services: Services) -> TestClient:
    return TestClient(api_of(services))


def settings(url: str, home: Path, issuer: Issuer, **given: Any) -> Settings:
    chosen = {"auth": "oidc", "oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, **given}
    return Settings.from_env(database_url=url, home=home, role_rules=RULES, **chosen)


def call(client: TestClient, route: str, method: str, token: str | None = None) -> Any:
    """Send a request that may fail for any reason except the caller's permissions."""
    path = re.sub(r"\{\w+:int\}", "1", route.replace("{path:path}", "a/b"))
    path = re.sub(r"\{(\w+)\}", r"\1", path)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return client.simulate_request(method, path, headers=headers)


def test_every_route_and_method_is_in_the_table(services: Services):
    found = {
        (route.path, method.method)
        for route in inspect.inspect_routes(api_of(services))
        for method in route.methods
        if not method.internal
    }
    assert found == set(CALLS)


def test_the_application_has_no_sinks_or_static_routes(services: Services):
    """The middleware does not see sinks and static folders of the framework."""
    assert inspect.inspect_app(api_of(services)).sinks == []
    assert inspect.inspect_app(api_of(services)).static_routes == []


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_the_roles_of_the_table_may_call_a_route_and_no_other(
    client: TestClient, issuer: Issuer, route: str, method: str
):
    roles = PERMISSIONS.roles_for(route, method)
    for role in Role:
        answer = call(client, route, method, issuer.token(role=role))
        refused = bool(roles) and role not in (roles or ())
        # An archive outside the allow-list is refused too, to every caller; the response to HEAD
        # does not say why.
        outside = "outside the allowed sources" in answer.text
        if method == "HEAD" and not refused and "{bucket}" in route:
            outside = True
        assert (answer.status_code == 403 and not outside) == refused, (role, answer.text)
        # For clients of the devserver's paths, every error has this one status.
        of_devserver = answer.headers.get("Content-Type", "").startswith("text/plain")
        assert answer.status_code not in ({401, 405} if of_devserver else {401, 405, 500}), role


@pytest.mark.parametrize(("route", "method"), GUARDED)
def test_a_credential_that_does_not_hold_opens_nothing(
    client: TestClient, issuer: Issuer, of_nobody: Any, route: str, method: str
):
    everything: Any = {"role": list(Role)}
    tokens = {
        "none": None,
        "expired": issuer.token(exp=1, **everything),
        "wrong audience": issuer.token(aud="another", **everything),
        "wrong issuer": issuer.token(iss="https://elsewhere.example", **everything),
        "wrong signature": issuer.token(key=of_nobody, **everything),
        "nonsense": "nonsense",
    }
    answers = {kind: call(client, route, method, token) for kind, token in tokens.items()}
    assert {kind: answer.status_code for kind, answer in answers.items()} == dict.fromkeys(
        tokens, 401
    )
    # Clients that only know Basic send it only where it is offered, on every path and method.
    offers = {answer.headers["WWW-Authenticate"] for answer in answers.values()}
    assert offers == {'Basic realm="staging_api", Bearer'}


@pytest.mark.parametrize(("route", "method"), GUARDED)
def test_a_caller_without_a_role_may_call_nothing(
    client: TestClient, issuer: Issuer, route: str, method: str
):
    assert call(client, route, method, issuer.token()).status_code == 403


@pytest.mark.parametrize("route", ALLOWED)
def test_methods_outside_the_table_are_refused_to_every_role(
    client: TestClient, issuer: Issuer, route: str
):
    methods = {"PUT", "PATCH", "OPTIONS", "TRACE", "HEAD", "POST", "DELETE"} - set(ALLOWED[route])
    answers = {m: call(client, route, m, issuer.token(role=list(Role))) for m in methods}
    assert {m: answer.status_code for m, answer in answers.items()} == dict.fromkeys(methods, 405)
    assert {each.headers["Allow"] for each in answers.values()} == {", ".join(ALLOWED[route])}


def test_a_responder_that_is_not_in_the_table_is_refused(services: Services, issuer: Issuer):
    class Forgotten:
        def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
            resp.text = "secret"

    app = api_of(services)
    app.add_route("/forgotten", Forgotten())
    answer = call(TestClient(app), "/forgotten", "GET", issuer.token(role=list(Role)))
    assert answer.status_code == 405
    assert "secret" not in answer.text


def test_rows_have_the_caller_that_the_credential_names(
    client: TestClient, issuer: Issuer, database: Database
):
    asked = lock_request()
    with database.connect() as conn:
        store.acquire(conn, asked)
    answer = client.simulate_delete(
        f"/api/v1.0/locks/{asked.id}",
        json={"reason": "it hangs"},
        headers={"Authorization": f"Bearer {issuer.token(sub='boss', role='operator')}"},
    )
    with database.connect() as conn:
        ended_by = conn.execute(text("SELECT ended_by FROM api_locks")).scalar_one()
    assert (answer.status_code, ended_by) == (200, "boss")


@pytest.mark.parametrize(("role", "shown"), [("operator", True), ("auditor", False)])
def test_a_fence_is_shown_to_operators_only(
    client: TestClient, issuer: Issuer, services: Services, role: str, shown: bool
):
    with hold(services.locks, ARCHIVE, "gs://a/b", ORIGIN):
        answer = call(client, "/api/v1.0/locks", "GET", issuer.token(role=role))
    assert [lock["fence"] is not None for lock in answer.json["items"]] == [shown]


def test_callers_without_a_credential_may_get_roles(
    issuer: Issuer, database_url: str, database: Database, tmp_path: Path
):
    made = build(settings(database_url, tmp_path, issuer, anonymous_roles="viewer"))
    client = TestClient(api_of(made))
    assert call(client, "/static/{path:path}", "GET").status_code == 404
    assert call(client, "/api/v1.0/stagings", "POST").status_code == 401
    assert call(client, "/static/{path:path}", "GET", "nonsense").status_code == 401
    made.close()


def test_a_provider_that_is_away_is_503_and_probes_do_not_ask_it(
    database_url: str, database: Database, tmp_path: Path
):
    with issuing() as away:
        away.away = True
        made = build(settings(database_url, tmp_path, away))
        client = TestClient(api_of(made))
        answer = call(client, "/api/v1.0/locks", "GET", away.token(role="viewer"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert call(client, "/readyz", "GET", away.token()).status_code == 200
        made.close()


def test_without_authentication_every_caller_is_anonymous_with_all_roles(
    database_url: str, database: Database, tmp_path: Path
):
    made = build(Settings.from_env(database_url=database_url, home=tmp_path))
    client = TestClient(api_of(made))
    answers = [call(client, *each) for each in CALLS]
    assert {answer.status_code for answer in answers}.isdisjoint({401, 405})
    assert not any("needs the role" in answer.text for answer in answers)
    made.close()
