"""Event streams and sessions: permission to open a stream, and its end with its session."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import urllib3
from falcon.testing import Result, TestClient

from staging_api.clients import ENVIRON_KEY
from staging_api.db.engine import Database
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.identity.sessions import LOOPBACK_COOKIE
from staging_api.identity.tokens import hash_token
from staging_api.open_stream import OpenStream
from staging_api.processes.services import Services
from tests.databases import Migrated
from tests.integration.ui.test_signing_in import cookie
from tests.keystone_server import CONFIG, keystone, scoped
from tests.pages import Site, process, site_over
from tests.service import Pod, service
from tests.source import PATIENCE_SECONDS

LIVE = "/ui/live"
RULES = "viewer:roles=member"


class Leaves:
    """A client whose connection can stay open; it keeps the stream for the test."""

    gone = False

    def __init__(self) -> None:
        self.streams: list[OpenStream] = []

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        del wake
        return contextlib.nullcontext()

    def leave_to(self, stream: OpenStream) -> bool:
        self.streams.append(stream)
        return True


def opened(client: TestClient, leaves: Leaves, topics: str, **headers: str) -> Result:
    return client.simulate_get(
        LIVE,
        params={"topics": topics},
        headers={"Host": "localhost:8080", **headers},
        extras={ENVIRON_KEY: leaves},
    )


@contextmanager
def by_tokens(url: str, folder: Path, role: Role) -> Iterator[tuple[Services, Site, Path, str]]:
    file = folder / "tokens.yaml"
    token, lines = make_token("alice", [role], 1)
    add_to_file(file, lines)
    with process(url, folder, auth="tokens", tokens_file=file) as services:
        yield services, site_over(services, Host="localhost:8080"), file, token


def test_a_stream_ends_with_the_session_that_opened_it_and_the_other_goes_on(
    database_url: str, tmp_path: Path, database: Database
) -> None:
    assert database
    with by_tokens(database_url, tmp_path, Role.VIEWER) as (services, site, file, token):
        value = cookie(site.post("/ui/sign-in", {"action": "sign_in", "token": token})).value
        other, lines = make_token("bob", [Role.VIEWER], 1)
        add_to_file(file, lines)
        others = cookie(site.post("/ui/sign-in", {"action": "sign_in", "token": other})).value
        leaves = Leaves()
        for each in (value, others):
            answer = opened(site.client, leaves, "work", Cookie=f"{LOOPBACK_COOKIE}={each}")
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert answer.headers["X-Accel-Buffering"] == "no"
            assert answer.headers["Cache-Control"] == "no-store"
        file.write_text(file.read_text().replace(hash_token(token), "a" * 64))
        services.changes.streams.end_those_not_allowed()
        assert [stream.ends_at == 0.0 for stream in leaves.streams] == [True, False]


def test_without_a_session_or_the_role_there_is_no_stream(
    database_url: str, tmp_path: Path, database: Database
) -> None:
    assert database
    with by_tokens(database_url, tmp_path, Role.DEVICE) as (services, site, _, token):
        leaves = Leaves()
        assert opened(site.client, leaves, "work").status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert opened(site.client, leaves, "work", **bearer).status_code == 403
        assert leaves.streams == []
        assert len(services.changes.streams) == 0


def test_a_server_that_keeps_no_connection_open_says_so_and_counts_none(
    site: Site, services: Services
) -> None:
    answer = site.client.simulate_get(LIVE, params={"topics": "work"})
    assert answer.status_code == 503
    assert len(services.changes.streams) == 0


def test_a_caller_of_keystone_signs_in_over_http_and_another_without_a_role_sees_nothing(
    tmp_path: Path, migrated: Migrated
) -> None:
    with keystone() as running, migrated() as url:
        running.tokens = {"of-alice": scoped("alice", "member"), "of-bob": scoped("bob", "guest")}
        config = tmp_path / "keystone.conf"
        config.write_text(CONFIG.format(url=running.url))
        given = {"auth": "keystone", "keystone_config": str(config), "role_rules": RULES}
        with service(tmp_path, url, "gs://builds/", **given) as pods:
            (pod,) = pods.api()
            refused = requested(pod, "GET", "/ui/locks")
            assert (refused.status, b"sign-in" in refused.data) == (401, True)
            assert signed_in(pod, "of-nobody") is None
            alice, bob = signed_in(pod, "of-alice"), signed_in(pod, "of-bob")
            assert requested(pod, "GET", "/ui/locks", Cookie=alice).status == 200
            assert requested(pod, "GET", "/ui/locks", Cookie=bob).status == 403
            # The browser's cookie is not a Keystone token, and counts for pages alone.
            assert "of-alice" not in str(alice)
            assert requested(pod, "GET", "/api/v1.0/locks", Cookie=alice).status == 401


def requested(pod: Pod, method: str, path: str, **given: str | None) -> urllib3.BaseHTTPResponse:
    headers = {name.replace("_", "-"): value for name, value in given.items() if value}
    fields = headers.pop("form", None)
    return urllib3.request(
        method,
        pod.url + path,
        body=fields,
        headers={"Accept": "text/html", **headers},
        redirect=False,
        retries=False,
        timeout=PATIENCE_SECONDS,
    )


def signed_in(pod: Pod, token: str) -> str | None:
    """Return the cookie that the sign-in form gives for a token; None: refused."""
    answer = requested(
        pod,
        "POST",
        "/ui/sign-in",
        form=urlencode({"action": "sign_in", "token": token, "next": "/ui/locks"}),
        Content_Type="application/x-www-form-urlencoded",
        Origin=pod.url,
    )
    if answer.status != 303:
        assert answer.status == 401
        return None
    assert answer.headers["Location"] == "/ui/locks"
    return answer.headers["Set-Cookie"].partition(";")[0]
