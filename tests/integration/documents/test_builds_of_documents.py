"""Builds named in documents: staged once, queued if missing, joined if already being staged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.documents.builds import DocumentBuilds, named_by
from staging_api.documents.validation.build_lists import BUILDS_SCHEMA
from staging_api.locks.hold import RequestOrigin, hold
from staging_api.locks.model import ARCHIVE
from tests.document_sets import doc, rendered
from tests.stagings import Bench, bench

OPERATOR = RequestOrigin(caller="operator")


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


def naming(name: str, *builds: tuple[str, list[str]], **more: Any) -> dict[str, Any]:
    given = [{"archive_url": url, "artifacts": artifacts} for url, artifacts in builds]
    return doc(name, {"builds": given}, schema=BUILDS_SCHEMA, **more)


def test_each_build_is_named_once_in_the_order_of_the_documents() -> None:
    one, other = ("gs://b-1/R17", ["payload"]), ("gs://b-1/R17", ["suites"])
    rendering = rendered(
        naming("b", other, one), naming("a", one, one), naming("c", other, abstract=True)
    )
    assert list(named_by(rendering)) == [
        ("gs://b-1/R17", ("payload",)),
        ("gs://b-1/R17", ("suites",)),
    ]
    assert list(named_by(None)) == []


def test_a_missing_build_is_queued_and_one_that_is_there_is_not(at: Bench) -> None:
    there, missing, other = (at.build(f"R17-{number}") for number in range(3))
    at.stage(there, "payload")
    rendering = rendered(naming("a", (there, ["payload"]), (missing, ["payload"])))
    builds = DocumentBuilds(at.service)
    assert [each.state for each in builds.look(rendering)] == ["staged", "not_staged"]
    found = builds.stage(rendering, OPERATOR)
    assert [(each.archive_url, each.artifacts) for each in found] == [
        (there, ("payload",)),
        (missing, ("payload",)),
    ]
    assert [each.state for each in found] == ["staged", "queued"]
    assert [each.staged for each in found] == [True, False]
    queued = at.rows("SELECT archive_url, caller, id FROM stagings WHERE state = 'queued'")
    assert queued == [(missing, "operator", found[1].staging_id)]
    assert at.rows("SELECT count(*) FROM stagings WHERE archive_url = :u", u=other) == [(0,)]


def test_a_build_that_another_works_on_is_queued_behind_it(at: Bench) -> None:
    busy, free = at.build("R17-1"), at.build("R17-2")
    rendering = rendered(naming("a", (busy, ["payload"]), (free, ["payload"])))
    with hold(at.service.locks, ARCHIVE, busy, RequestOrigin(caller="worker")):
        found = DocumentBuilds(at.service).stage(rendering, OPERATOR)
    assert [(each.archive_url, each.state) for each in found] == [
        (busy, "queued"),
        (free, "queued"),
    ]
    queued = at.rows("SELECT archive_url, caller FROM stagings WHERE state = 'queued' ORDER BY 1")
    assert queued == [(busy, "operator"), (free, "operator")]


def test_a_build_that_cannot_be_staged_says_why_and_spoils_no_other(at: Bench) -> None:
    fine = at.build("R17-1")
    wrong = [("gs://elsewhere/b/c", ["payload"]), (fine, ["nonsense"])]
    rendering = rendered(naming("a", *wrong, (fine, ["payload"])))
    for found in (
        DocumentBuilds(at.service).look(rendering),
        DocumentBuilds(at.service).stage(rendering, OPERATOR),
    ):
        assert [each.state == "refused" for each in found] == [True, True, False]
        assert "outside the allowed sources" in str(found[0].detail)
        assert "nonsense" in str(found[1].detail)
        assert found[2].detail is None
