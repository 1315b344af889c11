"""Sign-in: the browser's cookie, the paths where it counts, and the ends of a session."""

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from falcon.testing import TestClient

from staging_api.db.engine import Database
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.identity.sessions import COOKIE, LOOPBACK_COOKIE, Signer
from staging_api.ui.routes import SCREENS
from staging_api.ui.screen import roles_of
from tests.issuer import Issuer, issuing, new_key
from tests.pages import Page, Site, process, site_over


def cookie(page: Page) -> Morsel[str]:
    """Return the cookie that a response sets."""
    (name,) = (found := SimpleCookie(page.headers["Set-Cookie"]))
    return found[name]


@contextmanager
def tokens(url: str, folder: Path, *roles: Role, **settings: Any) -> Iterator[tuple[Site, str]]:
    """Yield pages for callers with tokens, and a token with these roles."""
    file = folder / "tokens.yaml"
    token, lines = make_token("alice", roles, 1)
    add_to_file(file, lines)
    with process(url, folder, auth="tokens", tokens_file=file, **settings) as services:
        yield site_over(services, Host="localhost:8080"), token


@pytest.fixture(scope="module")
def shared(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Mapping[Role, str]]]:
    """Yield pages for callers with tokens, and a token of each role."""
    folder = tmp_path_factory.mktemp("tokens")
    with tokens(database_url, folder, Role.VIEWER, sources="gs://builds/") as (site, _):
        issued = {}
        for role in Role:
            issued[role], lines = make_token(f"one {role}", [role], 1)
            add_to_file(folder / "tokens.yaml", lines)
        yield site, issued


@pytest.fixture
def site(shared: tuple[Site, Mapping[Role, str]], database: Database) -> Site:
    assert database
    return shared[0]


@pytest.fixture
def token(shared: tuple[Site, Mapping[Role, str]]) -> str:
    """Return a viewer's token."""
    return shared[1][Role.VIEWER]


def test_what_needs_a_role_leads_to_the_form_and_back(site: Site, token: str):
    refused = site.get("/ui/locks?state=all")
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    link = next(link for link in refused.links() if "next=" in link)
    form = site.get(link).form("sign_in")
    answer = site.post("/ui/sign-in", {**form, "token": token})
    assert (answer.status, answer.headers["Location"]) == (303, "/ui/locks?state=all")
    session = {"Cookie": f"{LOOPBACK_COOKIE}={cookie(answer).value}"}
    page = site.get("/ui/locks?state=all", **session)
    assert page.status == 200
    assert page.all("a", **{"class": "caller"})[0].text == "one viewer"
    form_again = site.get("/ui/sign-in", **session)
    assert form_again.all("a", **{"class": "caller"})[0].text == "one viewer"
    assert not form_again.all("span", **{"class": "off"})


def test_a_form_whose_session_ended_can_be_sent_after_the_sign_in(
    site: Site, shared: tuple[Site, Mapping[Role, str]]
):
    page = "/ui/apt/nothing?suite=stable"
    filled = {"action": "go_back", "generation_id": "1", "reason": "it's <broken>"}
    refused = site.post(page, filled)
    assert refused.status == 401
    assert refused.form("go_back") == filled
    link = next(link for link in refused.links() if "next=" in link)
    form = site.get(link).form("sign_in")
    answer = site.post("/ui/sign-in", {**form, "token": shared[1][Role.PUBLISHER]})
    assert answer.headers["Location"] == page
    session = {"Cookie": f"{LOOPBACK_COOKIE}={cookie(answer).value}"}
    sent = site.post(page, refused.form("go_back"), Sec_Fetch_Site="same-origin", **session)
    assert sent.status == 404


def test_a_form_of_another_site_is_not_offered_again(site: Site):
    form = {"action": "go_back", "generation_id": "1", "reason": "x"}
    refused = site.post("/ui/apt/nothing", form, Sec_Fetch_Site="cross-site")
    assert refused.status in {401, 403}
    assert "generation_id" not in refused.text


def test_a_page_without_authentication_marks_no_screen_as_forbidden(site: Site):
    page = site.get("/ui/nothing")
    assert page.status == 404
    assert not page.all("span", **{"class": "off"})
    assert not [each for each in page.all("a") if each.text == "Sign in"]
    assert site.get("/ui/sign-in").all("span", **{"class": "off"})


@pytest.mark.parametrize("path", ["/static/board/R1/", "/static/archive/R1/a.log"])
def test_a_staged_file_leads_a_browser_to_the_form_and_back_and_tells_programs_the_problem(
    site: Site, token: str, path: str
):
    refused = site.get(path)
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    link = next(link for link in refused.links() if "next=" in link)
    answer = site.post("/ui/sign-in", {**site.get(link).form("sign_in"), "token": token})
    assert (answer.status, answer.headers["Location"]) == (303, path)
    session = {"Cookie": f"{LOOPBACK_COOKIE}={cookie(answer).value}"}
    assert site.get(path, **session).status == 404
    for accept in ("*/*", "application/json"):
        problem = site.client.simulate_get(path, headers={"Accept": accept})
        assert (problem.status_code, problem.json["code"]) == (401, "unauthenticated")
        assert problem.headers["WWW-Authenticate"] != "Bearer"


def test_the_cookie_has_no_token_and_stays_with_this_site(site: Site, token: str):
    plain = cookie(site.post("/ui/sign-in", {"action": "sign_in", "token": token}))
    tls = Site(site.client, {"Host": "staging.example", "X-Forwarded-Proto": "https"})
    safe = cookie(tls.post("/ui/sign-in", {"action": "sign_in", "token": token}))
    other = Site(site.client, {"Host": "10.0.0.1"})
    assert cookie(other.post("/ui/sign-in", {"action": "sign_in", "token": token})).key == COOKIE
    assert (plain.key, plain["secure"]) == (LOOPBACK_COOKIE, "")
    assert (safe.key, safe["secure"]) == (COOKIE, True)
    for each in (plain, safe):
        assert each["httponly"]
        assert each["samesite"] == "Strict"
        assert (each["path"], each["domain"], each["max-age"]) == ("/", "", "43200")
        assert token not in each.value


def test_the_cookie_counts_for_pages_and_downloads_and_nothing_of_the_api(site: Site, token: str):
    value = cookie(site.post("/ui/sign-in", {"action": "sign_in", "token": token})).value
    headers = {"Cookie": f"{LOOPBACK_COOKIE}={value}", "Host": "localhost"}
    for path in ("/api/v1.0/locks", "/configdocs", "/ui%2f../api/v1.0/locks"):
        assert site.client.simulate_get(path, headers=headers).status_code in {401, 404}
    assert site.client.simulate_get("/ui/locks", headers=headers).status_code == 200
    # Only an authenticated caller learns that nothing is staged.
    assert site.client.simulate_get("/static/a", headers=headers).status_code == 404
    assert site.client.simulate_head("/static/a/", headers=headers).status_code == 404
    for path in ("/static", "/staticky/a", "/archive/a/b"):
        assert site.client.simulate_get(path, headers=headers).status_code in {401, 404}
    assert site.client.simulate_get("/static/a", headers={"Host": "localhost"}).status_code == 401


def test_a_session_ends_with_its_token_and_its_roles_are_those_of_the_file(
    database_url: str, tmp_path: Path, database: Database
):
    assert database
    file = tmp_path / "tokens.yaml"
    with tokens(database_url, tmp_path, Role.VIEWER) as (site, token):
        value = cookie(site.post("/ui/sign-in", {"action": "sign_in", "token": token})).value
        session = {"Cookie": f"{LOOPBACK_COOKIE}={value}"}
        assert site.get("/ui/locks", **session).status == 200
        file.write_text(file.read_text().replace("- viewer", "- device"))
        assert site.get("/ui/locks", **session).status == 403
        file.write_text("# Tokens\ntokens: []\n# end of tokens\n")
        assert site.get("/ui/locks", **session).status == 401


def test_signing_out_takes_the_cookie_back(site: Site, token: str):
    value = cookie(site.post("/ui/sign-in", {"action": "sign_in", "token": token})).value
    page = site.get("/ui/sign-in", Cookie=f"{LOOPBACK_COOKIE}={value}")
    assert "You are one viewer" in page.text
    gone = site.post("/ui/sign-in", page.form("sign_out"))
    assert f'{LOOPBACK_COOKIE}=""' in gone.headers["Set-Cookie"]


@pytest.mark.parametrize("token", ["stg_wrong", "", "two words", "x" * 9000])
def test_a_wrong_token_is_refused_on_the_form(site: Site, token: str):
    page = site.post("/ui/sign-in", {"action": "sign_in", "token": token})
    assert page.status in {400, 401}
    assert "Set-Cookie" not in page.headers
    assert page.form("sign_in")["token"] == ""


def test_a_token_of_8192_characters_is_asked_for_and_a_longer_one_is_none(
    database_url: str, tmp_path: Path, database: Database
):
    assert database
    with tokens(database_url, tmp_path, Role.VIEWER) as (site, _):
        for length, status in ((8192, 401), (8193, 400)):
            form = {"action": "sign_in", "token": "t" * length}
            assert site.post("/ui/sign-in", form).status == status


def test_guessing_is_limited_as_for_the_api(database_url: str, tmp_path: Path, database: Database):
    assert database
    with tokens(database_url, tmp_path, Role.VIEWER, refused_per_address=0.1) as (site, _):
        guess = {"action": "sign_in", "token": "stg_wrong"}
        assert [site.post("/ui/sign-in", guess).status for _ in range(3)] == [401, 429, 429]


def test_no_sign_in_leads_to_another_site(site: Site, token: str):
    for there in ("//evil.example/", "https://evil.example/", "/\\evil.example", "/ui/../x\n"):
        page = site.get(f"/ui/sign-in?next={quote(there)}")
        assert page.form("sign_in")["next"] == "/"
        form = {"action": "sign_in", "token": token, "next": there}
        assert site.post("/ui/sign-in", form).headers["Location"] == "/"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Referer": "http://localhost:8080/"},
    ],
    ids=["cross-site", "same-site", "typed", "other origin", "opaque origin", "referer alone"],
)
def test_a_form_of_another_site_is_refused(site: Site, token: str, headers: Mapping[str, str]):
    form = {"action": "sign_in", "token": token}
    assert site.post("/ui/sign-in", form, **headers).status == 403
    own = {"Origin": "http://localhost:8080"}
    assert site.post("/ui/sign-in", form, **own).status == 303


def test_a_signed_text_counts_for_its_purpose_until_its_time_and_unchanged():
    now = [1000.0]
    signer = Signer(lambda: b"k" * 32, now=lambda: now[0], clock=lambda: now[0])
    signed = signer.sign("session", {"name": "alice"}, 60)
    read = signer.read("session", signed)
    assert read is not None
    assert read["name"] == "alice"
    body, _, mac = signed.partition(".")
    assert signer.read("sign-in", signed) is None
    for forged in (f"{body[:-1]}A.{mac}", f"{body}.{mac[:-2]}AA", body, "", ".", "é.é", f"{body}."):
        assert signer.read("session", forged) is None
    assert Signer(lambda: b"x" * 32, now=lambda: now[0]).read("session", signed) is None
    now[0] += 61
    assert signer.read("session", signed) is None


@pytest.mark.parametrize("role", Role)
def test_every_screen_is_for_the_roles_of_its_call(
    shared: tuple[Site, Mapping[Role, str]], database: Database, role: Role
):
    assert database
    site, token = shared[0], shared[1][role]
    for screen in SCREENS:
        path = re.sub(r"\{\w+\}", "01M8KHZ6PCZE3XYJXC573E5JBW", screen.path)
        allowed = screen.call is None or role in roles_of(screen.call)
        status = site.get(path, Authorization=f"Bearer {token}").status
        assert status in ({200, 303, 400, 404} if allowed else {403}), path
        for name, action in screen.actions.items():
            answer = site.client.simulate_post(
                path,
                headers={
                    "Authorization": f"Bearer {token}",
                    "Sec-Fetch-Site": "same-origin",
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Host": "localhost",
                },
                body=f"action={name}",
            )
            refused = role not in roles_of(action.call)
            assert (answer.status_code == 403) == refused, f"{path} {name}"


def test_a_button_that_a_caller_may_not_press_says_what_it_needs(site: Site, token: str):
    page = site.get("/ui/builds?u=gs://builds/R1", Authorization=f"Bearer {token}")
    assert page.all("button", disabled="")
    assert "needs stager" in page.text


def test_curl_of_a_page_sends_the_token_of_its_reader(site: Site, token: str):
    for path in ("/", "/ui/locks?state=all", "/ui/builds?u=gs://builds/R1"):
        page = site.get(path, Authorization=f"Bearer {token}")
        words = shlex.split(page.copies()["curl"])
        assert words[2:4] == ["-H", "Authorization: Bearer $STAGING_TOKEN"], path
        url = urlsplit(words[-1])
        answers = [
            site.client.simulate_get(url.path, query_string=url.query, headers=headers).status_code
            for headers in ({}, {"Authorization": f"Bearer {token}"})
        ]
        assert answers == [401, 200], path
        assert token not in page.html


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture
def oidc(
    issuer: Issuer, database_url: str, tmp_path: Path, database: Database
) -> Iterator[TestClient]:
    """Yield pages for callers who sign in at the issuer."""
    assert database
    settings = {
        "auth": "oidc",
        "oidc_issuer": issuer.url,
        "oidc_audience": "staging",
        "oidc_client_id": "pages",
        "role_rules": "viewer:group=lab",
    }
    with process(database_url, tmp_path, **settings) as services:
        yield site_over(services).client


def started(client: TestClient) -> tuple[str, str]:
    """Return the address to which a sign-in redirects, and the cookie that it sets."""
    answer = client.simulate_get("/ui/sign-in/start?next=/ui/locks", headers={"Host": "localhost"})
    assert answer.status_code == 303
    (kept,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert (kept["samesite"], kept["httponly"]) == ("Lax", True)
    return answer.headers["Location"], f"{kept.key}={kept.value}"


def came_back(client: TestClient, code: str, state: str, kept: str) -> Any:
    return client.simulate_get(
        "/ui/sign-in/callback",
        params={"code": code, "state": state},
        headers={"Host": "localhost", "Cookie": kept, "Accept": "text/html"},
    )


def test_signing_in_at_the_provider_brings_its_name_and_roles(oidc: TestClient, issuer: Issuer):
    location, kept = started(oidc)
    answer = came_back(oidc, *issuer.authorize(location, sub="bob", group="lab"), kept)
    assert answer.status_code == 200
    assert 'content="0; url=/ui/locks"' in answer.text
    session = next(c for c in answer.cookies.values() if c.name == LOOPBACK_COOKIE)
    assert session.same_site == "Strict"
    # The cookie of the started sign-in cannot be used again.
    (begun,) = (c for c in answer.cookies.values() if c.name == kept.partition("=")[0])
    assert (begun.value, begun.path) == ("", "/")
    assert begun.expires is not None
    assert begun.expires < datetime.now(UTC)
    headers = {"Host": "localhost", "Cookie": f"{LOOPBACK_COOKIE}={session.value}"}
    page = oidc.simulate_get("/ui/locks", headers=headers)
    assert page.status_code == 200
    assert ">bob</a>" in page.text


def test_a_sign_in_that_was_not_begun_here_or_is_another_s_is_refused(
    oidc: TestClient, issuer: Issuer
):
    location, kept = started(oidc)
    code, state = issuer.authorize(location, group="lab")
    other = started(oidc)[1]
    assert came_back(oidc, code, state, "").status_code == 401
    assert came_back(oidc, code, state, other).status_code == 401
    assert came_back(oidc, code, "x", kept).status_code == 401
    assert came_back(oidc, "x", state, kept).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "x"}, {"aud": "staging"}, {"exp": 1}, {"key": new_key()}],
    ids=["nonce", "audience", "time", "key"],
)
def test_an_invalid_id_token_does_not_sign_in(oidc: TestClient, issuer: Issuer, claims: Any):
    location, kept = started(oidc)
    answer = came_back(oidc, *issuer.authorize(location, group="lab", **claims), kept)
    assert answer.status_code == 401
    assert LOOPBACK_COOKIE not in answer.headers.get("Set-Cookie", "")
