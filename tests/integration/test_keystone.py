"""Keystone's middleware in front of the application, against a Keystone on loopback."""

import base64
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from falcon.testing import TestClient
from requests.adapters import HTTPAdapter

from staging_api.db.engine import Database
from staging_api.errors import Invalid
from staging_api.identity.authenticators import authenticator
from staging_api.processes.application import wsgi_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings
from tests.keystone_server import CONFIG, Answering, Keystone, keystone, later, scoped
from tests.service import eventually

# The middleware imports libraries whose deprecation warnings are not ours.
pytestmark = pytest.mark.filterwarnings("default")

RULES = "viewer:*,stager:roles=member,operator:roles=admin"
CORP = {"id": "c0", "name": "corp"}


@pytest.fixture
def server() -> Iterator[Keystone]:
    with keystone() as running:
        running.tokens = {
            "of-alice": scoped("alice", "member"),
            "of-boss": scoped("boss", "admin", "member"),
        }
        yield running


@contextmanager
def served(server: Keystone, url: str, home: Path, **chosen: Any) -> Iterator[TestClient]:
    config = home / "keystone.conf"
    config.write_text(CONFIG.format(url=server.url))
    settings = Settings.from_env(
        **{
            "database_url": url,
            "home": home,
            "auth": "keystone",
            "keystone_config": config,
            "role_rules": RULES,
            "identity_seconds": 1,
            **chosen,
        }
    )
    with connections_closed(), closing(build(settings)) as made:
        yield TestClient(wsgi_of(made))


@contextmanager
def connections_closed() -> Iterator[None]:
    """Close the connections to Keystone after the block; a process does so by exiting."""
    # A deprecation in the libraries is no error here, unlike during the collection of tests.
    from staging_api.identity import keystone_middleware

    made: list[HTTPAdapter] = []

    class Noted(keystone_middleware._LimitedAdapter):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    with patch.object(keystone_middleware, "_LimitedAdapter", Noted):
        yield
    for adapter in made:
        adapter.close()


@pytest.fixture
def client(
    server: Keystone, database_url: str, database: Database, tmp_path: Path
) -> Iterator[TestClient]:
    with served(server, database_url, tmp_path) as made:
        yield made


def call(client: TestClient, method: str, path: str, token: str | None, **headers: str) -> int:
    if token is not None:
        headers["X-Auth-Token"] = token
    return client.simulate_request(method, f"/api/v1.0{path}", headers=headers).status_code


def sent(client: TestClient, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.simulate_get("/api/v1.0/locks", headers=named).status_code


def test_a_token_may_come_as_our_client_sends_it_or_as_the_password_that_apt_has(
    client: TestClient,
):
    password = base64.b64encode(b"apt:of-alice").decode()
    assert sent(client, Authorization="Bearer of-alice") == 200
    assert sent(client, Authorization=f"Basic {password}") == 200
    assert sent(client, Authorization="Bearer of-nobody") == 401
    assert sent(client, Authorization="Negotiate of-alice") == 401
    # The headers of OpenStack's clients count, whatever headers a proxy adds.
    assert sent(client, Authorization="Negotiate x", X_Auth_Token="of-alice") == 200
    assert sent(client, Authorization="Bearer of-alice", X_Auth_Token="of-nobody") == 401


def test_roles_of_keystone_are_turned_into_ours(client: TestClient):
    lock = "/locks/01JD0000000000000000000000"
    assert call(client, "GET", "/locks", "of-alice") == 200
    assert call(client, "POST", "/stagings", "of-alice") == 400
    assert call(client, "DELETE", lock, "of-alice") == 403
    assert call(client, "DELETE", lock, "of-boss") == 400


def test_an_unknown_token_and_none_are_refused_in_our_own_form(client: TestClient):
    assert call(client, "GET", "/locks", "of-nobody") == 401
    answer = client.simulate_get("/api/v1.0/locks")
    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith('Keystone uri="http://127.0.0.1:')


def test_a_caller_cannot_write_the_middlewares_headers(client: TestClient):
    forged = {
        "X-Principal-Status": "Confirmed",
        "X-User-Name": "boss",
        "X-Roles": "admin",
    }
    answer = client.simulate_get("/api/v1.0/locks", headers=forged)
    assert answer.status_code == 401
    answer = client.simulate_get("/api/v1.0/locks", headers={"X-Auth-Token": "x", **forged})
    assert answer.status_code == 401


def test_probes_need_no_token_and_no_call_to_keystone(client: TestClient, server: Keystone):
    assert client.simulate_get("/readyz", headers={"X-Auth-Token": "of-alice"}).status_code == 200
    assert server.asked == []


def wrongs() -> dict[str, Callable[[Answering], None]]:
    """Return the responses of a Keystone that cannot verify a token."""
    return {
        "500": lambda each: each.answer(500, {"error": {"code": 500}}),
        "503": lambda each: each.answer(503, "<html>no backend</html>"),
        "429": lambda each: each.answer(429, {}),
        "403": lambda each: each.answer(403, {"error": {"code": 403, "message": "policy"}}),
        "our own password is wrong": lambda each: each.answer(401, {"error": {"code": 401}}),
        "404 of a proxy": lambda each: each.answer(404, "<html>default backend</html>"),
        "no JSON": lambda each: each.answer(200, "<html>login</html>"),
        "no object": lambda each: each.answer(200, []),
        "no token in it": lambda each: each.answer(200, {"token": None}),
        "half a token": lambda each: each.answer(200, {"token": {"user": {"name": "alice"}}}),
        "413": lambda each: each.answer(413, {"error": {"code": 413}}),
        "502": lambda each: each.answer(502, "<html>bad gateway</html>"),
        "504": lambda each: each.answer(504, {}),
        "300": lambda each: each.answer(300, {"versions": {"values": []}}),
        "302 to a page": lambda each: each.answer(302, "", {"Location": "/login"}),
        "302 to nowhere": lambda each: each.answer(302, "", {}),
        "302 to no address": lambda each: each.answer(302, "", {"Location": "http://[::"}),
        "half an answer": lambda each: each.answer(200, '{"tok', {"Content-Length": "500"}),
        "hangs up": lambda each: each.connection.close(),
        "hangs": Answering.hang,
        "drips": Answering.drip,
    }


@pytest.mark.parametrize("wrong", wrongs())
def test_a_token_that_keystone_cannot_verify_is_503_and_not_401(
    client: TestClient, server: Keystone, wrong: str
):
    server.wrong = wrongs()[wrong]
    answer = client.simulate_get("/api/v1.0/locks", headers={"X-Auth-Token": "of-alice"})
    assert (answer.status_code, answer.json["code"]) == (503, "identity_unavailable"), answer.text
    assert answer.json["retryable"] is True
    assert int(answer.headers["Retry-After"]) >= 1
    assert client.simulate_get("/livez").status_code == 200


@pytest.mark.parametrize("wrong", ["500", "half a token", "drips"])
def test_a_keystone_that_recovers_is_believed_again(
    client: TestClient, server: Keystone, wrong: str
):
    server.wrong = wrongs()[wrong]
    assert call(client, "GET", "/locks", "of-alice") == 503
    server.wrong = None
    answers = [503]
    while answers[-1] == 503:
        time.sleep(0.1)  # Without pauses between requests, the address would exceed its limit: 429.
        answers.append(call(client, "GET", "/locks", "of-alice"))
    assert answers[-1] == 200
    assert call(client, "GET", "/locks", "of-nobody") == 401


def test_the_wrong_half_of_keystone_does_not_matter(client: TestClient, server: Keystone):
    """This Keystone accepts our password and fails at each token; the reverse is tested above."""

    def only_tokens(each: Answering) -> None:
        if each.headers.get("X-Subject-Token"):
            each.answer(500, {})
        else:
            server.wrong = None
            (each.do_POST if each.command == "POST" else each.do_GET)()
            server.wrong = only_tokens

    assert call(client, "GET", "/locks", "of-boss") == 200
    server.wrong = only_tokens
    assert call(client, "GET", "/locks", "of-alice") == 503
    assert call(client, "GET", "/locks", "of-boss") == 200


def test_a_closed_port_is_503_and_good_tokens_go_on(
    database_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from staging_api.identity import keystone_middleware

    monkeypatch.setattr(keystone_middleware, "_FRESH_SECONDS", 0.0)
    with keystone() as running:
        running.tokens = {"of-alice": scoped("alice", "member")}
        with served(running, database_url, tmp_path) as client:
            assert call(client, "GET", "/locks", "of-alice") == 200
            running.wrong = Answering.hang
            assert call(client, "GET", "/locks", "of-other") == 503
            assert call(client, "GET", "/locks", "of-alice") == 200
    with served(running, database_url, tmp_path) as client:
        assert call(client, "GET", "/locks", "of-alice") == 503


def test_a_valid_token_is_checked_from_an_address_over_its_limit_of_refusals(
    database_url: str, database: Database, tmp_path: Path, server: Keystone, monkeypatch: Any
):
    from staging_api.identity import keystone_middleware

    monkeypatch.setattr(keystone_middleware, "_FRESH_SECONDS", 0.0)
    with served(server, database_url, tmp_path, refused_per_address=0.001) as client:
        assert call(client, "GET", "/locks", "of-alice") == 200
        assert [call(client, "GET", "/locks", "junk") for _ in range(2)] == [401, 429]
        assert call(client, "GET", "/locks", "of-boss") == 429
        assert call(client, "GET", "/locks", "of-alice") == 200
        server.wrong = lambda each: each.answer(500, {})
        assert call(client, "GET", "/locks", "of-alice") == 200
        server.wrong = None
        del server.tokens["of-alice"]
        assert call(client, "GET", "/locks", "of-alice") == 429
        assert call(client, "GET", "/locks", "of-boss") == 429


@pytest.mark.parametrize("status", [301, 302, 303, 305, 307, 308])
def test_a_redirect_to_another_host_gets_no_token_of_ours(
    client: TestClient, server: Keystone, status: int
):
    with keystone() as other:
        other.tokens = server.tokens
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        server.wrong = lambda each: each.answer(status, "", {"Location": elsewhere + each.path})
        assert call(client, "GET", "/locks", "of-alice") == 503
        assert (other.asked, other.posts) == ([], 0)


def test_a_redirect_on_the_same_host_is_followed(client: TestClient, server: Keystone):
    """Example: a redirect by a proxy that adds a slash."""

    def moved(each: Answering) -> None:
        server.wrong = None
        each.answer(307, "", {"Location": f"{server.url}{each.path.removeprefix('/v3')}"})

    server.wrong = moved
    assert call(client, "GET", "/locks", "of-boss") == 200


def test_a_keystone_that_accepts_no_connection_costs_no_more_than_the_deadline(
    database_url: str, database: Database, tmp_path: Path
):
    """The host drops packets, so there is not yet a socket that could be shut down."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, ExitStack() as full:
        address = silent.getsockname()
        for _ in range(2):
            taken = full.enter_context(socket.socket())
            taken.setblocking(False)
            taken.connect_ex(address)
        stands_for = Keystone(url=f"http://127.0.0.1:{address[1]}/v3")
        with served(stands_for, database_url, tmp_path) as client:
            for number in range(2):
                assert call(client, "GET", "/locks", f"of-{number}") == 503
            eventually(
                lambda: not [each for each in threading.enumerate() if _connects(each)],
                "a thread still waits for a connection",
            )


def _connects(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    names = set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return thread.name.startswith("identity") and "create_connection" in names


def test_an_expired_token_is_refused_also_from_memory(client: TestClient, server: Keystone):
    server.tokens["of-late"] = scoped("late", "member", expires_at=later(-1))
    server.tokens["of-soon"] = scoped("soon", "member", expires_at=later(1.5))
    assert call(client, "GET", "/locks", "of-late") == 401
    assert call(client, "GET", "/locks", "of-soon") == 200
    answers = [200]
    while answers[-1] == 200:
        answers.append(call(client, "GET", "/locks", "of-soon"))
    assert answers[-1] == 401
    assert call(client, "GET", "/locks", "of-alice") == 200


def test_an_invalid_token_is_checked_only_once_in_a_while(client: TestClient, server: Keystone):
    assert {call(client, "GET", "/locks", "junk") for _ in range(20)} == {401}
    assert server.asked.count("junk") == 1


@pytest.mark.parametrize("token", ["x" * 20_000, "é", "a\tb"])
def test_malformed_tokens_cause_no_call(client: TestClient, server: Keystone, token: str):
    assert call(client, "GET", "/locks", token) == 401
    assert server.asked == []


def test_names_mean_those_of_the_default_domain_unless_another_is_named(
    server: Keystone, database_url: str, database: Database, tmp_path: Path
):
    rules = (
        "viewer:*,stager:project=ci&roles=member,publisher:project=ci&project_domain=corp,"
        "auditor:user=boss,operator:roles=admin&system_scope=all,"
        "device:project_id=p9&user_id=id-of-alice"
    )
    ci = {"id": "p1", "name": "ci", "domain": {"id": "default", "name": "Default"}}
    server.tokens = {
        "ours": scoped("alice", "member", project=ci),
        "other domain": scoped("alice", "member", project={**ci, "domain": CORP}),
        "own project": scoped("mallory", "admin"),
        "system": scoped("root", "admin", project=None, system={"all": True}),
        "boss": scoped("boss"),
        "other boss": scoped("boss", user={"id": "b2", "name": "boss", "domain": CORP}),
        "by ids": scoped("alice", project={"id": "p9", "name": "x", "domain": CORP}),
        "half of the ids": scoped("bob", project={"id": "p9", "name": "x", "domain": CORP}),
    }
    settings = Settings.from_env(auth="keystone", keystone_config=tmp_path / "k", role_rules=rules)
    (tmp_path / "k").write_text(CONFIG.format(url=server.url))
    identify = authenticator(settings).identify

    def roles(token: str) -> set[str]:
        found = identify({"REQUEST_METHOD": "GET", "HTTP_X_AUTH_TOKEN": token.replace(" ", "-")})
        assert found is not None
        return {role.value for role in found.roles} - {"viewer"}

    server.tokens = {name.replace(" ", "-"): token for name, token in server.tokens.items()}
    assert {name: roles(name) for name in server.tokens} == {
        "ours": {"stager"},
        "other-domain": {"publisher"},
        "own-project": set(),
        "system": {"operator"},
        "boss": {"auditor"},
        "other-boss": set(),
        "by-ids": {"device"},
        "half-of-the-ids": set(),
    }


def test_callers_of_two_domains_are_two_callers(server: Keystone, tmp_path: Path):
    """Rows, limits and idempotency keys belong to a name."""
    users: dict[str, dict[str, Any]] = {
        "alice": {"id": "a1", "name": "alice", "domain": {"id": "default", "name": "Default"}},
        "alice@corp": {"id": "a2", "name": "alice", "domain": CORP},
        "alice@corp@Default": {
            "id": "a3",
            "name": "alice@corp",
            "domain": {"id": "default", "name": "Default"},
        },
        "alice@corp@c0": {"id": "a4", "name": "alice@corp", "domain": {"id": "c0", "name": "x@y"}},
        "alice@c1": {"id": "a5", "name": "alice", "domain": {"id": "c1", "name": "corp@Default"}},
    }
    server.tokens = {user["id"]: scoped("any", user=user) for user in users.values()}
    (tmp_path / "k").write_text(CONFIG.format(url=server.url))
    settings = Settings.from_env(auth="keystone", keystone_config=tmp_path / "k")
    identify = authenticator(settings).identify
    found = [identify({"REQUEST_METHOD": "GET", "HTTP_X_AUTH_TOKEN": t}) for t in server.tokens]
    assert [each.name for each in found if each is not None] == list(users)


@pytest.mark.parametrize("name", ["worker", "W\N{CYRILLIC SMALL LETTER O}rker", "upkeep"])
def test_a_user_that_is_named_like_the_service_is_refused(
    client: TestClient, server: Keystone, name: str
):
    for number, domain in enumerate((CORP, {"id": "default", "name": "Default"})):
        token = f"of-service-{number}"
        server.tokens[token] = scoped(
            name, "member", user={"id": "w", "name": name, "domain": domain}
        )
        # 503: on a busy machine, Keystone took longer than a second.
        tries = (call(client, "GET", "/locks", token) for _ in range(10))
        assert next(status for status in tries if status != 503) == 401


def test_a_missing_or_invalid_file_is_an_error_at_start(tmp_path: Path):
    config = tmp_path / "keystone.conf"
    settings = Settings.from_env(auth="keystone", keystone_config=config)
    with pytest.raises(Invalid, match=r"STAGING_KEYSTONE_CONFIG: .* is not a file"):
        authenticator(settings)
    config.write_text("what is this?\n")
    with pytest.raises(Invalid, match="STAGING_KEYSTONE_CONFIG"):
        authenticator(settings)
