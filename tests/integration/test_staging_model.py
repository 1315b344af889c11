"""Random orders of requests, joins, failures, evictions, pins, cancellations and process deaths.

Two builds are involved. After each step the tables are checked against the rules; at the end all
accepted work is finished.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from staging_api.db.engine import Database
from staging_api.errors import Conflict, NotFound, StagingApiError
from staging_api.http.staging_bodies import StagingBody
from staging_api.locks.hold import guarded, hold
from staging_api.locks.model import ARCHIVE, SYMBOLS
from staging_api.staging.audit import verify
from staging_api.staging.damage import evict_holders
from staging_api.staging.model import Staging
from staging_api.staging.repository import artifact_rows, lists, reading, seen_rows, staging_rows
from staging_api.staging.resuming import resume
from tests.emptying import Emptying
from tests.factories import ORIGIN
from tests.stagings import Bench, bench, packed

WORKER, JOINER = replace(ORIGIN, caller="worker"), replace(ORIGIN, caller="joiner")
BUILDS = ("R17-1", "R17-2")
OBJECTS = {
    "payload": ("payload.bin", b"payload"),
    "suites": ("suites.tgz", packed({"suites/control": b"control"})),
    "notes": ("notes.txt", b"notes"),
    "symbols": ("debug.tgz", packed({"debug/breakpad/lib.sym": b"symbols"})),
}
names = st.lists(st.sampled_from(sorted(OBJECTS)), min_size=1, unique=True)
builds = st.sampled_from(BUILDS)
some = st.integers(min_value=0, max_value=1000)


@dataclass
class Promise:
    """An artifact that a joined request was promised."""

    url: str
    name: str


class Stagings(RuleBasedStateMachine):
    """One service, one worker that runs on request, and a source that loses objects."""

    at: Bench
    emptying: Emptying

    @initialize()
    def begin(self) -> None:
        self.emptying.run()
        self.promises: list[Promise] = []
        self.tags: dict[str, str] = {}
        self.bodies: dict[str, str] = {}
        self.verdicts: dict[tuple[str, str], object] = {}
        self.urls = {name: f"file://{self.at.builds}/board/{name}" for name in BUILDS}
        for name in BUILDS:
            folder = self.at.builds / "board" / name
            folder.mkdir(parents=True, exist_ok=True)
            for file, content in OBJECTS.values():
                (folder / file).write_bytes(content)

    @rule(build=builds, wanted=names)
    def request(self, build: str, wanted: list[str]) -> None:
        service = self.at.service
        request = service.check_request(self.urls[build], wanted)
        if service.nothing_left(request) is None:
            service.queue(request, ORIGIN)

    @rule(build=builds, wanted=names, patience=st.sampled_from([None, 60.0]))
    def join(self, build: str, wanted: list[str], patience: float | None) -> None:
        request = self.at.service.check_request(self.urls[build], wanted, patience)
        self.at.service.queue_behind(request, JOINER)
        self.promises += [Promise(self.urls[build], name) for name in wanted]

    @rule(build=builds, wanted=names)
    def stage_at_once(self, build: str, wanted: list[str]) -> None:
        with suppress(StagingApiError):
            self.at.service.stage(self.at.service.check_request(self.urls[build], wanted), ORIGIN)

    @rule()
    def work(self) -> None:
        for staging_id in self.due()[:1]:
            resume(self.at.service, self.at.service.find(staging_id), WORKER)

    @rule(build=builds, name=st.sampled_from(sorted(OBJECTS)), there=st.booleans())
    def change_the_source(self, build: str, name: str, there: bool) -> None:
        file, content = OBJECTS[name]
        path = self.at.builds / "board" / build / file
        if there:
            path.write_bytes(content)
        else:
            path.unlink(missing_ok=True)

    @rule(which=some)
    def cancel(self, which: int) -> None:
        # Not those of the joiner, because their cancellation withdraws the promise.
        mine = [s.id for s in self.stagings() if s.caller == ORIGIN.caller and not s.final]
        if mine:
            self.at.service.cancel(mine[which % len(mine)], ORIGIN)

    @rule(which=some)
    def ask_to_cancel(self, which: int) -> None:
        """Request cancellation as if another process held the lock; a worker notices it later."""
        mine = [s.id for s in self.stagings() if s.caller == ORIGIN.caller and not s.final]
        if mine:
            with self.at.database.begin() as conn:
                staging_rows.request_cancel(conn, mine[which % len(mine)])

    @rule(which=some)
    def evict(self, which: int) -> None:
        if rows := self.live():
            with suppress(NotFound, Conflict):
                self.at.service.artifacts.evict(rows[which % len(rows)], ORIGIN)

    @rule(which=some, pinned=st.booleans())
    def pin(self, which: int, pinned: bool) -> None:
        until = datetime.now(UTC) + timedelta(hours=1) if pinned else None
        if rows := self.live():
            self.at.service.artifacts.pin(rows[which % len(rows)], until, ORIGIN)

    @rule(which=some)
    def lose(self, which: int) -> None:
        """Remove a content from the disk; the first reader notices."""
        held = self.at.rows("SELECT DISTINCT sha256 FROM loose_files ORDER BY sha256")
        if held:
            evict_holders(self.at.service.upkeep, held[which % len(held)][0], "lost")

    @rule(which=some)
    def read(self, which: int) -> None:
        """Record a read of an artifact, an hour ago."""
        if rows := self.live():
            with self.at.database.begin() as conn:
                hour_ago = datetime.now(UTC) - timedelta(hours=1)
                conn.exec_driver_sql(
                    "UPDATE staged_artifacts SET last_accessed_at = %s WHERE id = %s",
                    (hour_ago, rows[which % len(rows)]),
                )

    @rule(which=some)
    def die(self, which: int) -> None:
        """Begin an artifact, die half way through it, and let the lease expire."""
        with self.at.database.connect() as conn:
            rows = lists.list_artifacts(conn, limit=1000)
        left = [row for row in rows if row.to_do]
        if not left:
            return
        row = left[which % len(left)]
        kind = SYMBOLS if row.lock_kind == SYMBOLS.name else ARCHIVE
        with (
            hold(self.at.service.locks, kind, row.archive_url, WORKER) as held,
            guarded(self.at.database, held) as conn,
        ):
            artifact_rows.begin_artifact(conn, row.id, held.lease)
            artifact_rows.note_progress(conn, row.id, 1 + which, 2000, 5.0)
            staging_rows.settle(conn, row.archive_url, held.lease)

    @invariant()
    def the_tables_say_what_they_may(self) -> None:
        stagings = self.stagings()
        self.nothing_is_left_behind()
        self.states_follow_from_the_artifacts(stagings)
        self.a_verdict_stays(stagings)
        self.another_body_has_another_tag_and_is_made_of_other_rows(stagings)
        self.who_joined_is_not_cancelled_with_another()

    def nothing_is_left_behind(self) -> None:
        left = self.at.rows(
            "SELECT a.id FROM staged_artifacts a JOIN stagings s ON s.id = a.staging_id"
            " WHERE a.state IN ('pending', 'staging') AND s.finished_at IS NOT NULL"
        )
        assert left == []

    def states_follow_from_the_artifacts(self, stagings: list[Staging]) -> None:
        for staging in stagings:
            found = {artifact.state for artifact in staging.artifacts}
            if staging.state == "staged":
                assert found <= {"staged", "missing", "evicted"}
            if staging.state == "failed":
                assert "failed" in found
            if staging.final:
                assert not found & {"pending", "staging"}
                assert {a.name for a in staging.artifacts} == set(staging.requested)
            else:
                assert found & {"pending", "staging"}

    def a_verdict_stays(self, stagings: list[Staging]) -> None:
        for staging in stagings:
            for artifact in staging.artifacts:
                if staging.final and artifact.state == "failed":
                    verdict = (artifact.failure, artifact.bytes_done, artifact.bytes_total)
                    key = (staging.id, artifact.id)
                    assert self.verdicts.setdefault(key, verdict) == verdict

    def another_body_has_another_tag_and_is_made_of_other_rows(
        self, stagings: list[Staging]
    ) -> None:
        ids = [each.id for each in stagings]
        seen_of = seen_rows.answer_rows(self.at.database, ids) if ids else {}
        for staging in stagings:
            seen = seen_of[staging.id]
            assert seen is not None
            assert seen.staging_id == staging.id
            # Only this shows rows that a later staging created.
            versions = [(a.id, a.version, a.brought_since_by) for a in staging.artifacts]
            body = StagingBody.of(staging).model_dump_json()
            assert self.tags.setdefault(f"{staging.id}.{staging.tag}", body) == body
            for key in (seen.rows, f"{staging.id}.{staging.version} {versions}"):
                assert self.bodies.setdefault(key, body) == body

    def who_joined_is_not_cancelled_with_another(self) -> None:
        rows = self.at.rows(
            "SELECT archive_url, name, state, error_code FROM staged_artifacts"
            " WHERE state <> 'evicted'"
        )
        still_open = []
        for promise in self.promises:
            found = [row[2:] for row in rows if row[:2] == (promise.url, promise.name)]
            if [state for state, _ in found if state in ("pending", "staging")]:
                still_open.append(promise)
            assert ("failed", "cancelled") not in found
        self.promises = still_open

    def teardown(self) -> None:
        for _ in range(100):
            due = self.due()
            if not due:
                break
            resume(self.at.service, self.at.service.find(due[0]), WORKER)
        with self.at.database.connect() as conn:
            assert reading.queue(conn) == {}
        assert [s.id for s in self.stagings() if not s.final] == []
        assert verify(self.at.database).breaks == ()

    def due(self) -> list[str]:
        with self.at.database.connect() as conn:
            return [turn.staging_id for turn in reading.due(conn, each=10)]

    def stagings(self) -> list[Staging]:
        with self.at.database.connect() as conn:
            return lists.list_stagings(conn, limit=1000)

    def live(self) -> list[str]:
        with self.at.database.connect() as conn:
            rows = lists.list_artifacts(conn, limit=1000)
        return [row.id for row in rows if row.state != "evicted"]


# Twice the time that hypothesis spends on shrinking a failure, which must not be cut short.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [10, pytest.param(50, marks=pytest.mark.prove)])
def test_the_tables_satisfy_their_invariants(
    database: Database, emptying: Emptying, database_url: str, tmp_path: Path, examples: int
) -> None:
    with bench(database, database_url, tmp_path) as at:

        class OnThisDatabase(Stagings):
            pass

        OnThisDatabase.at, OnThisDatabase.emptying = at, emptying
        run_state_machine_as_test(
            OnThisDatabase,
            settings=settings(
                max_examples=examples,
                stateful_step_count=20,
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
            ),
        )
