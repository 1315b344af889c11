"""Browser requests for pages of other sites: they change nothing; programs are unaffected."""

import http.client

import pytest

from staging_api.db.engine import Database
from staging_api.http.origins import hosts_of
from tests.builds import build, build_path
from tests.rows import select, states
from tests.service import STAGINGS, Client
from tests.source import ArchiveSource

HOSTILE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Referer": "http://evil.example/page"},
]
WITH_EFFECTS = [
    "/stage?archive_url={url}&artifacts=stateful",
    "/stage?archive_url={url}&artifacts=stateful&async=True",
    "/stage?archive_url={url}&artifacts=stateful&clean=True",
    "/download?archive_url={url}",
    "/stage_images?archive_url={url}&image_types=test",
    "/stage_debug?archive_url={url}",
    "/download/bucket/a/b",
    "/extract/bucket/a.tar?file=b",
]


@pytest.mark.parametrize("headers", HOSTILE)
@pytest.mark.parametrize("path", WITH_EFFECTS)
def test_a_page_of_another_site_cannot_use_the_gets_that_do_something(
    client: Client, source: ArchiveSource, rows: Database, path: str, headers: dict[str, str]
) -> None:
    url = source.add(build_path(), build())
    refused = client.send("GET", path.format(url=url), None, headers)
    assert (refused.status, b"another site" in refused.body) == (403, True)
    assert select(rows, "SELECT count(*) FROM stagings WHERE archive_url = :u", u=url) == [(0,)]


@pytest.mark.parametrize("headers", HOSTILE)
def test_nor_any_method_that_changes_something(
    client: Client, source: ArchiveSource, rows: Database, headers: dict[str, str]
) -> None:
    url = source.add(build_path(), build())
    staged = client.stage(url, "stateful")
    [artifact] = staged.json["artifacts"]
    body = b'{"archive_url": "%s"}' % url.encode()
    for method, path in (
        ("POST", STAGINGS),
        ("DELETE", staged.headers["Location"]),
        ("DELETE", f"/api/v1.0/artifacts/{artifact['id']}"),
        ("POST", f"/api/v1.0/artifacts/{artifact['id']}/pin"),
        ("POST", "/api/v1.0/publications"),
        ("PATCH", "/api/v1.0/apt-archives/x"),
    ):
        assert client.send(method, path, body, headers).problem == (403, "forbidden")
    assert states(rows, url) == {"stateful": "staged"}


def test_reading_and_pages_of_our_own_and_programs_are_served(
    client: Client, source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    host = client.url.removeprefix("http://")
    stage = f"/stage?archive_url={url}&artifacts=stateful"
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": f"http://{host}"},
        {"Referer": f"http://{host}/index"},
    ):
        assert client.send("GET", stage, None, headers).body == b"Success"
    for headers in HOSTILE:
        served = client.send("GET", f"/static/{path}/stateful.tgz", None, headers)
        assert served.body == objects["stateful.tgz"]


def test_on_loopback_without_authentication_only_its_own_names_are_served(client: Client) -> None:
    address, _, port = client.url.removeprefix("http://").partition(":")

    def status(host: str, path: str = "/readyz") -> int:
        connection = http.client.HTTPConnection(address, int(port))
        try:
            connection.request("GET", path, headers={"Host": host})
            return connection.getresponse().status
        finally:
            connection.close()

    for host in (
        "localhost",
        f"localhost:{port}",
        f"127.0.0.1:{port}",
        f"[::1]:{port}",
        "LocalHost.",
    ):
        assert status(host) == 200
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "localhost.evil",
    ):
        assert (status(host), status(host, "/stage?archive_url=x"), status(host, STAGINGS)) == (
            403,
            403,
            403,
        )


@pytest.mark.parametrize(
    ("setting", "bind", "anybody", "hosts"),
    [
        ("", "127.0.0.1:8080", True, ["localhost", "127.0.0.1", "::1", "127.0.0.1"]),
        ("", "[::1]:8080", True, ["localhost", "127.0.0.1", "::1", "::1"]),
        ("", "127.0.0.1:8080", False, []),
        # Unless all addresses are of this machine, host names prove nothing.
        (
            "",
            "127.0.0.1:8080, [::1]:8080",
            True,
            ["localhost", "127.0.0.1", "::1", "127.0.0.1", "::1"],
        ),
        ("", "127.0.0.1:8080,10.0.0.1:8080", True, []),
        ("", "127.0.0.1:8080,unix:/run/staging.sock", True, []),
        ("", "localhost.example:8080", True, []),
        ("", "0.0.0.0:8080", True, []),
        ("", "unix:/run/staging.sock", True, []),
        ("staging.example, other", "127.0.0.1:8080", True, ["staging.example", "other"]),
        ("*", "127.0.0.1:8080", True, ["*"]),
    ],
)
def test_the_names_follow_from_the_settings(
    setting: str, bind: str, anybody: bool, hosts: list[str]
) -> None:
    assert hosts_of(setting, bind, anybody_may_call=anybody) == hosts
