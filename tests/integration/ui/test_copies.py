"""Snippets that pages offer to copy: each works, as curl, command line, Python and SQL."""

import ast
import shlex
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.staging.model import Staging
from staging_api.ui.copies import sql_text
from staging_api.ui.formats import build_url
from tests import forked_command
from tests.documents import document, policy, stream
from tests.integration.ui.conftest import Builds
from tests.pages import Site
from tests.service import API
from tests.stagings import packed


def pages(staging: Staging) -> list[str]:
    hostile = "file:///it's;$(touch x)`touch y`"
    return [
        *("/", "/ui/builds?prefix=file://it's", "/ui/locks", "/ui/locks?state=all"),
        *(build_url(staging.archive_url), f"/ui/stagings/{staging.id}"),
        *(f"/ui/locks/{staging.lock_id}", f"/ui/artifacts/{staging.artifacts[0].id}"),
        *(build_url(hostile), f"/ui/catalogue?u={hostile}&archive_url={hostile}"),
        *("/ui/apt", "/ui/apt/tools", f"/ui/content/{staging.artifacts[0].sha256}"),
        *("/ui/documents", "/ui/store", "/ui/processes", "/ui/wall", "/ui/audit"),
    ]


def test_each_form_of_each_view_is_accepted(site: Site, builds: Builds, database: Database):
    lines: set[tuple[str, ...]] = set()
    archive = {"name": "tools", "suites": [{"name": "stable"}]}
    assert site.client.simulate_post(f"{API}/apt-archives", json=archive).status_code == 201
    for path in pages(builds.staged("R1")):
        forms = site.get(path).copies()
        # No caller of this service has a token.
        assert "STAGING_TOKEN" not in forms["curl"], path
        url = urlsplit(shlex.split(forms["curl"])[-1])
        answer = site.client.simulate_get(url.path, query_string=url.query)
        assert answer.status_code in {200, 400, 403}, path
        if statement := forms.get("SQL"):
            with database.connect() as conn:
                conn.execute(text(statement.replace(":", r"\:"))).all()
        ast.parse(forms.get("Python", ""))
        for line in forms.get("command line", "").split("\n")[1:]:
            words = shlex.split(line)
            assert words[0] == "staging-api"
            assert len(words) <= 6, f"a value fell apart: {words}"
            lines.add(tuple(word for word in words[1:] if word.startswith("-") or word.isalpha()))
    for verb, *options in lines:
        helped = [*forked_command.words(), verb, "--help"]
        told = subprocess.run(helped, capture_output=True, text=True, check=True).stdout
        for option in (each for each in options if each.startswith("--")):
            assert option in told or options[0] == "break", f"{verb} {options}"


def test_the_sql_of_a_view_selects_what_it_shows_and_nothing_of_another_build(
    site: Site, builds: Builds, database: Database
):
    one = builds.staged("R1")
    builds.staged("R2", payload_bin=b"other", suites_tgz=packed({"suites/other": b"another"}))
    artifact = next(each for each in one.artifacts if each.name == "payload")
    assert artifact.sha256
    expected: dict[str, set[Any]] = {
        f"/ui/builds?prefix={one.archive_url}": {one.archive_url},
        build_url(one.archive_url): {each.name for each in one.artifacts},
        f"/ui/stagings/{one.id}": set(range(1, one.events_count + 1)),
        # Both locks were released: none is held, and none was broken.
        "/ui/locks": set(),
        "/ui/locks?state=all&outcome=broken": set(),
        f"/ui/locks/{one.lock_id}": {one.lock_id},
        f"/ui/artifacts/{artifact.id}": {artifact.path},
        f"/ui/content/{artifact.sha256}": {one.archive_url},
    }
    for path, first_column in expected.items():
        statement = site.get(path).copies()["SQL"]
        with database.connect() as conn:
            found = conn.execute(text(statement.replace(":", r"\:"))).scalars().all()
        assert sorted(found) == sorted(first_column), path


def test_the_sql_of_documents_selects_their_revisions(site: Site, database: Database):
    for title in ("first", "second"):
        posted = site.client.simulate_post(
            "/api/v1.0/configdocs/one",
            params={"buffermode": "replace"},
            body=stream(policy(), document("one", {"value": title})),
            headers={"Content-Type": "application/x-yaml"},
        )
        assert posted.status_code == 201, posted.text
    with database.connect() as conn:
        numbers = conn.execute(text("SELECT number FROM document_revisions")).scalars().all()
        assert len(numbers) == 2
        for path, shown in (
            ("/ui/documents", sorted(numbers, reverse=True)),
            *((f"/ui/documents/revisions/{number}", [number]) for number in numbers),
        ):
            statement = site.get(path).copies()["SQL"]
            assert conn.execute(text(statement)).scalars().all() == shown, path


@pytest.mark.parametrize(
    ("path", "limit"), [("/", 20), ("/ui/documents", 50), ("/ui/builds?prefix=file", 50)]
)
def test_the_sql_of_a_list_selects_as_many_rows_as_the_page_shows(
    site: Site, builds: Builds, path: str, limit: int
):
    builds.staged("R1")
    assert site.get(path).copies()["SQL"].endswith(f" LIMIT {limit};")


def test_a_value_in_sql_is_a_literal(database: Database):
    with database.connect() as conn:
        for value in ("it's", "'; DROP TABLE stagings; --", "\\"):
            statement = sql_text("SELECT :value", {"value": value}).replace(":", r"\:")
            assert conn.execute(text(statement)).scalar() == value
