"""Artifacts evicted before their staging ended: still part of the staging's result."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.errors import ArtifactNotFound
from staging_api.staging.audit import verify
from staging_api.staging.model import Staging
from staging_api.staging.repository import staging_rows
from staging_api.staging.resuming import resume
from tests.factories import ORIGIN
from tests.stagings import Bench, bench

OTHER = replace(ORIGIN, caller="another")


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


def shown(at: Bench, staging: Staging) -> tuple[str, dict[str, str]]:
    """Return the states of a staging and of its artifacts, as in its response."""
    now = at.service.find(staging.id)
    return now.state, {a.name: a.state for a in now.artifacts}


def ask_to_cancel(at: Bench, staging: Staging) -> None:
    """Request cancellation, as if another process held the lock."""
    with at.database.begin() as conn:
        staging_rows.request_cancel(conn, staging.id)


def evict(at: Bench, url: str, name: str) -> None:
    [(artifact_id,)] = at.rows(
        "SELECT id FROM staged_artifacts WHERE archive_url = :u AND name = :n AND state = 'staged'",
        u=url,
        n=name,
    )
    at.service.artifacts.evict(artifact_id, ORIGIN)


def work(at: Bench, staging: Staging) -> None:
    resume(at.service, at.service.find(staging.id), replace(ORIGIN, caller="worker"))


def test_a_cancelled_staging_shows_what_was_evicted_before_its_end(at):
    url, other = at.build(), at.build("R17-2")
    beside = at.stage(other, "payload")
    at.stage(url, "payload")
    evict(at, url, "payload")
    staging = at.service.stage(at.service.check_request(url, ("payload", "notes")), ORIGIN)
    ask_to_cancel(at, staging)
    evict(at, url, "payload")
    work(at, staging)
    # Once: of the two evicted rows, the one that this staging produced.
    assert shown(at, staging) == ("cancelled", {"notes": "failed", "payload": "evicted"})
    [payload] = [a for a in at.service.find(staging.id).artifacts if a.name == "payload"]
    assert payload.staging_id == staging.id
    assert len(at.service.find(staging.id).artifacts) == 2
    assert shown(at, beside) == ("staged", {"payload": "staged"})


def test_an_artifact_that_another_staging_needs_is_staged_again_after_the_cancellation(at):
    url = at.build()
    staging = at.service.stage(at.service.check_request(url, ("payload", "notes")), ORIGIN)
    at.service.queue_behind(at.service.check_request(url, ("payload", "notes")), OTHER)
    ask_to_cancel(at, staging)
    evict(at, url, "payload")
    work(at, staging)
    [(carrier,)] = at.rows("SELECT id FROM stagings WHERE caller = 'another'")
    assert shown(at, staging)[0] == "cancelled"
    resume(at.service, at.service.find(carrier), OTHER)
    assert shown(at, at.service.find(carrier)) == (
        "staged",
        {"notes": "missing", "payload": "staged"},
    )


@pytest.mark.parametrize("again", [False, True])
def test_what_failed_for_a_staging_stays_failed_when_its_row_is_evicted(at, again):
    """Another staging staged it meanwhile; it was evicted, and perhaps staged once more."""
    url = at.build()
    payload = at.builds / "board" / "R17-1" / "payload.bin"
    content = payload.read_bytes()
    staging = at.service.queue(at.service.check_request(url, ("payload", "suites")), ORIGIN)
    payload.unlink()
    with pytest.raises(ArtifactNotFound):
        at.service.stage(at.service.check_request(url, ("payload",)), OTHER)
    payload.write_bytes(content)
    since = at.service.stage(at.service.check_request(url, ("payload",)), OTHER)
    evict(at, url, "payload")
    if again:
        since = at.service.stage(at.service.check_request(url, ("payload",)), OTHER)
    work(at, staging)
    assert shown(at, staging) == ("failed", {"payload": "failed", "suites": "staged"})
    ended = at.service.find(staging.id)
    [failed] = [a for a in ended.artifacts if a.name == "payload"]
    assert failed.failure is not None
    assert failed.failure.code == "artifact_not_found"
    assert (failed.brought_since_by is None) or again
    assert shown(at, since) == ("staged", {"payload": "staged" if again else "evicted"})
    assert verify(at.database).breaks == ()
