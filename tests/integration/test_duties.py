"""Duties of a worker: each one processes only the items due for it."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from staging_api.db.engine import Database
from staging_api.staging import damage
from staging_api.staging.damage import evict_holders, lose
from staging_api.staging.duties import database_steps, scrub_steps, store_steps
from staging_api.staging.housekeeping import StepResult
from staging_api.staging.packs import Packs
from staging_api.staging.repository import (
    artifact_rows,
    check_rows,
    file_rows,
    store_rows,
    upload_rows,
)
from staging_api.staging.scrub import Scrub, ScrubResult
from staging_api.staging.upkeep import StoreTerms
from tests.factories import ORIGIN
from tests.packs import packed_up
from tests.stagings import Bench, bench, packed

HOUR = 3600.0


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    terms = StoreTerms(idle_seconds=0, noted_seconds=0, busy_seconds=0, grace_seconds=2 * HOUR)
    with bench(database, database_url, tmp_path, store=terms, packs=Packs("no")) as made:
        yield made


def done(at: Bench, name: str) -> StepResult | None:
    steps = [*database_steps(at.service), *store_steps(at.service)]
    (step,) = (each for each in steps if each.name == name)
    return step.run()


def test_the_rows_that_a_dropped_pack_leaves_are_deleted_and_those_of_others_stay(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_rows, "_FEW_FILES", 1)
    files = {"d/a": b"1", "d/b": b"22", "d/c": b"333"}
    ids = []
    for name in ("R17-1", "R17-2"):
        (artifact,) = at.stage(at.build(name, suites_tgz=packed(files)), "suites").artifacts
        packed_up(at, artifact.id)
        ids.append(artifact.id)
    at.service.artifacts.evict(ids[0], ORIGIN)
    counted = "SELECT count(*) FROM packed_files WHERE artifact_id = :id"
    assert at.rows(counted, id=ids[0]) == [(2,)]
    done(at, "rows of dropped packs")
    assert [at.rows(counted, id=each) for each in ids] == [[(0,)], [(3,)]]


def test_polls_are_forgotten_after_the_time_of_grace(at: Bench) -> None:
    with at.database.begin() as conn:
        for url, minutes in (("gs://young", 119), ("gs://old", 121)):
            artifact_rows.static_prefix(conn, url, url[5:], "")
            assert upload_rows.claim_poll(conn, url, -60.0 * minutes)
    done(at, "upload polls")
    assert at.rows("SELECT archive_url FROM upload_polls") == [("gs://young",)]


def test_files_that_a_dead_process_left_are_swept_after_a_day(at: Bench) -> None:
    at.stage(at.build(), "payload")
    folder = at.store / "tmp"
    assert folder.is_dir()
    for name, age in (("young", 23.9 * HOUR), ("old", 24.1 * HOUR)):
        (folder / name).mkdir()
        (folder / name / "1").write_bytes(b"?")
        for path in (folder / name / "1", folder / name):
            os.utime(path, (time.time() - age,) * 2)
    assert done(at, "sweep") == StepResult(failed=0)
    assert (folder / "young" / "1").exists()
    assert not (folder / "old" / "1").exists()


def test_a_lost_content_that_nothing_names_is_given_up_and_one_that_is_there_is_not(
    at: Bench,
) -> None:
    url = at.build("R17-1", payload_bin=b"kept")
    (artifact,) = at.stage(url, "payload").artifacts
    assert artifact.sha256 is not None
    lost, present = "0" * 64, artifact.sha256
    with at.database.begin() as conn:
        store_rows.name_blobs(conn, {lost: 7})
    assert not lose(at.service.upkeep, present, 4)
    assert not lose(at.service.upkeep, "1" * 64, 4), "no row says that it was there"
    assert lose(at.service.upkeep, lost, 7)
    assert at.rows("SELECT sha256 FROM blobs WHERE doomed_at IS NOT NULL") == [(lost,)]
    assert [row.state for row in at.stage(url, "payload").artifacts] == ["staged"]


def damaged(how: str) -> float:
    return REGISTRY.get_sample_value("staging_store_damaged_total", {"how": how}) or 0.0


def test_damage_is_counted_by_its_kind_and_lost_contents_only_if_an_artifact_has_them(
    at: Bench,
) -> None:
    digests = []
    for name in ("R17-1", "R17-2"):
        (artifact,) = at.stage(at.build(name, payload_bin=name.encode()), "payload").artifacts
        assert artifact.sha256 is not None
        digests.append(artifact.sha256)
    before = damaged("lost"), damaged("corrupt")
    assert evict_holders(at.service.upkeep, "0" * 64, "lost") == []
    assert (damaged("lost"), damaged("corrupt")) == before
    assert len(evict_holders(at.service.upkeep, digests[0], "lost")) == 1
    assert (damaged("lost"), damaged("corrupt")) == (before[0] + 1, before[1])
    # A corrupt content is counted even if no artifact has it.
    assert evict_holders(at.service.upkeep, "0" * 64, "corrupt") == []
    assert (damaged("lost"), damaged("corrupt")) == (before[0] + 1, before[1] + 1)
    assert at.rows("SELECT state FROM staged_artifacts ORDER BY id") == [("evicted",), ("staged",)]


def test_a_damaged_artifact_of_a_locked_archive_is_evicted_later(
    at: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = at.build("R17-1")
    (artifact,) = at.stage(url, "payload").artifacts
    assert artifact.sha256 is not None
    shards = [artifact.sha256[:2], "00" if artifact.sha256[:2] != "00" else "01"]
    with at.database.begin() as conn:
        assert {check_rows.claim_shard(conn, shards, 60) for _ in shards} == set(shards)
    # Another request holds the lock of its archive.
    monkeypatch.setattr(damage, "evict", lambda *_given: False)
    assert evict_holders(at.service.upkeep, artifact.sha256, "lost") == []
    monkeypatch.undo()
    assert "which 1 artifacts have" in caplog.text
    assert "and a pool" not in caplog.text
    due_in = (
        "SELECT round(extract(epoch FROM began_at - clock_timestamp())"
        " + :every) BETWEEN 0 AND 60 FROM store_checks WHERE shard = :shard"
    )
    every = at.service.upkeep.terms.check_seconds
    assert [at.rows(due_in, every=every, shard=each) for each in shards] == [[(True,)], [(False,)]]
    assert evict_holders(at.service.upkeep, artifact.sha256, "lost") != []


def scrubbed(at: Bench) -> StepResult | None:
    (step,) = scrub_steps(at.service, threading.Event())
    return step.run()


def test_what_a_scrub_finds_corrupt_is_staged_again(at: Bench) -> None:
    urls = [at.build(name, payload_bin=name.encode()) for name in ("R17-1", "R17-2")]
    for url in urls:
        at.stage(url, "payload")
    rows = at.rows("SELECT sha256 FROM staged_artifacts ORDER BY id")
    bad = rows[0][0]
    at.service.blobs.path(bad).chmod(0o600)  # type: ignore[attr-defined]
    at.service.blobs.path(bad).write_bytes(b"wrong")  # type: ignore[attr-defined]
    at.tamper("UPDATE blobs SET stored_at = stored_at - interval '2 days'")
    results = [scrubbed(at) for _ in range(256)]
    assert all(result is not None and result.failed == 0 for result in results)
    assert sum(result is not None and result.more for result in results) >= 2
    waiting = "SELECT archive_url FROM stagings WHERE finished_at IS NULL"
    assert at.rows(waiting) == [(urls[0],)]


@pytest.mark.parametrize(
    ("found", "more"),
    [
        (ScrubResult(1), True),
        (ScrubResult(0, ("1",)), True),
        (ScrubResult(failed=2), False),
    ],
)
def test_a_scrub_that_read_something_goes_on(
    at: Bench, monkeypatch: pytest.MonkeyPatch, found: ScrubResult, more: bool
) -> None:
    monkeypatch.setattr(Scrub, "turn", lambda _scrub: found)
    assert scrubbed(at) == StepResult(more=more, failed=found.failed)
