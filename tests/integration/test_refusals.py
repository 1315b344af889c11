"""Refusals: their rate limits, their texts, and the caller that the log names."""

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from falcon.testing import TestClient

from staging_api.db.engine import Database
from staging_api.http.limits import CallerLimits, Refusals
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings
from tests.service import Service, eventually, service

LOCKS = "/api/v1.0/locks"
Serve = Callable[..., TestClient]


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """Return a token for each role; the file is tokens.yaml."""
    made = {}
    for role in Role:
        token, lines = make_token(f"one {role}", [role], 1)
        add_to_file(tmp_path / "tokens.yaml", lines)
        made[role.value] = token
    return made


@pytest.fixture
def serve(
    tokens: dict[str, str], database_url: str, database: Database, tmp_path: Path
) -> Iterator[Serve]:
    """Yield a factory of applications with these settings."""
    built = []

    def made(**chosen: object) -> TestClient:
        given = {"auth": "tokens", "tokens_file": tmp_path / "tokens.yaml", **chosen}
        services = build(Settings.from_env(database_url=database_url, home=tmp_path, **given))
        built.append(services)
        return TestClient(api_of(services))

    yield made
    for each in built:
        each.close()


@pytest.fixture(autouse=True)
def limits_whose_time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the limits' clock, so that no caller's share grows while requests are counted."""
    for counted in (CallerLimits, Refusals):
        monkeypatch.setattr(counted.__init__, "__defaults__", (lambda: 1000.0,))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("chosen", [{"rate_per_caller": 3}, {"refused_per_address": 0.3}])
@pytest.mark.parametrize("kind", ["junk", "none", "forbidden"])
def test_refused_requests_count_against_their_address(
    serve: Serve, tokens: dict[str, str], chosen: dict[str, float], kind: str
):
    client = serve(trusted_proxies="unix", **chosen)
    headers = {"junk": bearer("junk"), "none": {}, "forbidden": bearer(tokens["device"])}[kind]
    refused = 403 if kind == "forbidden" else 401

    def call(address: str, **other: str) -> int:
        sent = {"X-Forwarded-For": address, **headers, **other}
        return client.simulate_get(LOCKS, headers=sent).status_code

    assert [call("198.51.100.1") for _ in range(5)] == [refused] * 3 + [429] * 2
    assert call("198.51.100.2") == refused
    last = client.simulate_get(LOCKS, headers={"X-Forwarded-For": "198.51.100.1", **headers})
    assert int(last.headers["Retry-After"]) >= 1
    # No caller is locked out by others at the same address.
    assert call("198.51.100.1", **bearer(tokens["viewer"])) == 200


def test_the_wide_limit_needs_no_setting(serve: Serve):
    client = serve()
    found = {client.simulate_get(LOCKS, headers=bearer("x")).status_code for _ in range(1500)}
    assert found == {401, 429}


def test_anonymous_callers_of_two_addresses_share_no_limit(serve: Serve):
    client = serve(anonymous_roles="viewer", rate_per_caller=2, trusted_proxies="unix")

    def call(address: str) -> int:
        return client.simulate_get(LOCKS, headers={"X-Forwarded-For": address}).status_code

    assert [call("198.51.100.1") for _ in range(4)] == [200, 200, 429, 429]
    assert call("198.51.100.2") == 200
    assert call("198.51.100.1") == 429


def test_a_device_reads_files_and_nothing_else(serve: Serve, tokens: dict[str, str]):
    client = serve()
    device = bearer(tokens["device"])
    for path in ("/static/a/b", "/archive/debian/dists/x"):
        assert client.simulate_get(path, headers=device).status_code == 404
        assert client.simulate_head(path, headers=device).status_code == 404
    for path in (LOCKS, "/api/v1.0/stagings", "/api/v1.0/artifacts", "/api/v1.0/distributions"):
        assert client.simulate_get(path, headers=device).status_code == 403
    assert client.simulate_get("/is_staged", headers=device).status_code == 403
    assert client.simulate_post("/api/v1.0/stagings", json={}, headers=device).status_code == 403


def test_devices_without_a_credential_may_be_let_to_the_files_alone(serve: Serve):
    client = serve(anonymous_roles="device")
    assert client.simulate_get("/static/a/b").status_code == 404
    assert client.simulate_get("/archive/debian/dists/x").status_code == 404
    assert client.simulate_get(LOCKS).status_code == 401


def test_an_auditor_may_read_the_public_routes(serve: Serve, tokens: dict[str, str]):
    auditor = bearer(tokens["auditor"])
    assert serve().simulate_get("/static/a/b", headers=auditor).status_code == 403
    client = serve(anonymous_roles="device")
    assert client.simulate_get("/static/a/b", headers=auditor).status_code == 404
    assert client.simulate_get(LOCKS, headers=auditor).status_code == 200
    staging = client.simulate_post("/api/v1.0/stagings", json={}, headers=auditor)
    assert staging.status_code == 403


@pytest.fixture
def pod(tokens: dict[str, str], own_url: str, tmp_path: Path) -> Iterator[tuple[Service, str]]:
    """Yield a pod with the tokens, and its address."""
    settings = {"auth": "tokens", "tokens_file": str(tmp_path / "tokens.yaml")}
    with service(tmp_path, own_url, log_format="json", **settings) as pods:
        yield pods, pods.api()[0].url


def test_clients_that_wait_for_the_challenge_send_their_password_then(
    pod: tuple[Service, str], tokens: dict[str, str], tmp_path: Path
):
    url, password = pod[1] + LOCKS, tokens["viewer"]
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, url, "ci", password)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(passwords)
    )
    assert opener.open(url, timeout=30).status == 200
    commands = {
        "curl": ["curl", "-fsS", "--noproxy", "*", "--anyauth", "-u", f"ci:{password}", url],
        "wget": ["wget", "-q", "--no-proxy", "-O-", "--user=ci", f"--password={password}", url],
    }
    for program, command in commands.items():
        if shutil.which(program):
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
            assert done.returncode == 0, (program, done.stderr)
            assert "items" in json.loads(done.stdout)


def test_the_log_has_the_address_of_each_request(pod: tuple[Service, str], tokens: dict[str, str]):
    pods, url = pod
    encoded = base64.b64encode(f"x:{tokens['viewer']}".encode()).decode()
    for header in (f"Basic {encoded}", "Bearer junk"):
        request = urllib.request.Request(url + LOCKS, headers={"Authorization": header})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        if header.startswith("Basic"):
            opener.open(request, timeout=30)
        else:
            with pytest.raises(urllib.error.HTTPError):
                opener.open(request, timeout=30)
    (running,) = pods._pods
    eventually(lambda: running.log.read_text().count(LOCKS) >= 2, "the log has no such lines")
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if LOCKS in line]
    assert [line["client_address"] for line in lines] == ["127.0.0.1"] * 2
