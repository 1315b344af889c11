"""Stagings from unusual but valid servers, through the whole service."""

from contextlib import contextmanager
from dataclasses import replace
from itertools import count, cycle

import pytest

from staging_api.errors import SourceFailed, SourceRefused
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.opening import open_archive
from tests.scripted_http import Reply, scripted_http, served
from tests.stagings import bench, packed

SUITES = packed({"suites/control": b"control"})
OBJECTS = {"payload.bin": bytes(range(256)) * 400, "suites.tgz": SUITES}
PAGE = b"<!doctype html><title>Sign in</title>"


@pytest.fixture
def at(database, database_url, tmp_path):
    with bench(database, database_url, tmp_path) as made:
        yield made


@contextmanager
def over(at, script):
    with scripted_http(script) as server:
        allowed = AllowList.parse(server.url)
        options = SourceOptions(sleep=lambda _seconds: None, attempts=2)
        service = replace(
            at.service,
            allowed=allowed,
            open_archive=lambda url: open_archive(url, allowed, options),
        )
        yield replace(at, service=service), server


def content_of(asked):
    return OBJECTS.get(asked.path.rpartition("/")[2])


def mirrors():
    etags = cycle(['"one"', '"two"', '"three"'])
    return lambda asked, content: served(content, asked, ETag=next(etags))


def changed_now():
    seconds = count()

    def answer(asked, content):
        now = f"Sun, 06 Nov 1994 08:{next(seconds) % 60:02}:07 GMT"
        return served(content, asked, **{"Last-Modified": now})

    return answer


def no_conditions():
    def answer(asked, content):
        if {"if-match", "if-range", "if-none-match"} & asked.headers.keys():
            return Reply(412)
        return served(content, asked, ETag='"one"')

    return answer


def only_get():
    def answer(asked, content):
        return Reply(403) if asked.method == "HEAD" else served(content, asked, ETag='"one"')

    return answer


def no_ranges_no_head_no_version():
    def answer(asked, content):
        return Reply(501) if asked.method == "HEAD" or asked.part else Reply(body=content)

    return answer


@pytest.mark.parametrize(
    "oddity", [mirrors, changed_now, no_conditions, only_get, no_ranges_no_head_no_version]
)
def test_a_build_is_staged_from_an_odd_server(at, oddity):
    answer = oddity()

    def script(asked):
        content = content_of(asked)
        return Reply(404) if content is None else answer(asked, content)

    with over(at, script) as (odd, server):
        staging = odd.stage(f"{server.url}/b/{oddity.__name__}", "payload", "suites")
        assert staging.state == "staged"
        sizes = odd.rows(
            "SELECT f.size_bytes FROM staged_files f JOIN staged_artifacts a"
            " ON a.id = f.artifact_id WHERE a.archive_url = :u ORDER BY 1",
            u=staging.archive_url,
        )
        assert sizes == [(len(b"control"),), (len(OBJECTS["payload.bin"]),)]


def test_a_page_to_sign_in_is_staged_as_nothing(at):
    def script(asked):
        if asked.path == "/login":
            return Reply(body=PAGE, headers={"Content-Type": "text/html"})
        return Reply(302, headers={"Location": "/login"})

    with over(at, script) as (odd, server):
        with pytest.raises(SourceRefused, match="web page instead of suites"):
            odd.stage(f"{server.url}/b/login", "suites")
        assert odd.rows("SELECT count(*) FROM staged_files WHERE path LIKE '%login%'") == [(0,)]


def test_a_body_that_is_cut_each_time_is_not_staged(at):
    def script(asked):
        content = content_of(asked)
        if content is None:
            return Reply(404)
        return served(content, asked) if asked.part else Reply(body=content, send_bytes=10)

    with over(at, script) as (odd, server):
        with pytest.raises(SourceFailed, match="cut"):
            odd.stage(f"{server.url}/b/cut", "payload")
