"""Joining another request's staging: events that end the wait, and the rows during it."""

import stat
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from staging_api.catalogue.catalogue import Catalogue
from staging_api.clients import Client
from staging_api.db.engine import Database
from staging_api.devserver.joining import Joining, WaiterSlots
from staging_api.devserver.symbolication import Symbolication
from staging_api.errors import (
    ArtifactNotFound,
    LockHeld,
    NoConnectionFree,
    ShuttingDown,
    StagingApiError,
    Unavailable,
)
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE
from staging_api.metrics import DATABASE_UNAVAILABLE
from staging_api.single_flight import SingleFlight
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.opening import open_archive
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.model import Staging, StagingRequest
from staging_api.staging.repository import found_files, reading
from staging_api.staging.resuming import resume
from staging_api.staging.service import StagingService
from staging_api.staging.watch import Watch
from staging_api.store.folder_store import FolderStore
from tests.builds import build, build_path
from tests.factories import ORIGIN, locks_of
from tests.rows import execute, select, states
from tests.service import eventually
from tests.source import ArchiveSource, archive_source

OTHER = replace(ORIGIN, caller="another")


@pytest.fixture
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture
def joining(
    database: Database, database_url: str, source: ArchiveSource, tmp_path: Path
) -> Iterator[Joining]:
    """Yield the joining of one process, with two waiter slots and a short patience."""
    allowed = AllowList.parse(f"{source.url}/")
    with ExitStack() as stack:
        stagings = StagingService(
            database=database,
            locks=stack.enter_context(locks_of(database, database_url)),
            catalogues=Catalogues(Catalogue.load()),
            allowed=allowed,
            blobs=FolderStore(tmp_path / "store"),
            open_archive=lambda url: open_archive(url, allowed, SourceOptions()),
        )
        watch = Watch(database, threading.BoundedSemaphore(2), stagings.locks.shutdown)
        stack.callback(watch.close)
        yield Joining(stagings, watch, WaiterSlots(2), patience_seconds=0.5)


def patient(joining: Joining) -> Joining:
    """Return the same with a long patience, for waits that another event ends."""
    return replace(joining, patience_seconds=60.0)


def wanted(joining: Joining, source: ArchiveSource, *artifacts: str) -> StagingRequest:
    """Return a request for a new build."""
    return joining.stagings.check_request(source.add(build_path(), build()), artifacts)


def bringer(joining: Joining, request: StagingRequest) -> Staging | None:
    """Return the staging that works on the request's artifacts, if there is one."""
    with joining.stagings.database.connect() as conn:
        return reading.unfinished_for(conn, request.archive_url, request.names)


def noted(joining: Joining, request: StagingRequest) -> Staging:
    """Wait until a staging is recorded as working on the artifacts, and return it."""
    eventually(lambda: bringer(joining, request) is not None, "nothing was written down")
    found = bringer(joining, request)
    assert found is not None
    return found


def wait_for_taken_slots(joining: Joining, taken: int) -> None:
    eventually(lambda: joining.waiter_slots.taken == taken, "no request took the slot")


def test_a_wait_times_out_and_its_staging_goes_on(joining, source):
    request = wanted(joining, source, "stateful")
    with (
        hold(joining.stagings.locks, ARCHIVE, request.archive_url, OTHER),
        ThreadPoolExecutor() as p,
    ):
        with pytest.raises(Unavailable):
            p.submit(joining.stage, request, ORIGIN).result()
    assert noted(joining, request).state == "queued"
    assert joining.waiter_slots.taken == 0


def test_who_asks_for_all_waits_for_what_follows_too(joining, source):
    """Without a worker nothing stages the background artifacts; foreground artifacts arrive."""
    request = wanted(joining, source, "stateful", "autotest")
    other = wanted(joining, source, "stateful", "autotest")
    with pytest.raises(Unavailable):
        joining.stage_all(request, ORIGIN)
    assert noted(joining, request).state == "foreground_staged"
    joining.stage(other, ORIGIN)


def test_all_of_a_request_is_staged_once_each_of_its_artifacts_is(joining, source):
    both = wanted(joining, source, "stateful", "full_payload")
    other = wanted(joining, source, "stateful", "full_payload")
    one = joining.stagings.check_request(both.archive_url, ["stateful"])
    assert [joining.all_staged(each) for each in (one, both, other)] == [False] * 3
    joining.stage(one, ORIGIN)
    assert [joining.all_staged(each) for each in (one, both, other)] == [True, False, False]
    joining.stage(both, ORIGIN)
    assert [joining.all_staged(each) for each in (one, both, other)] == [True, True, False]


@contextmanager
def every_connection_in_use(database: Database) -> Iterator[None]:
    """Use up the connections of both pools, and limit waits for a connection to 0.2 s."""
    database.reads.close()  # close the connections that are kept for reads
    with ExitStack() as stack:
        for engine in (database.transactions, database.statements):
            stack.enter_context(patch.object(engine.pool, "_timeout", 0.2))
            with suppress(PoolTimeout):
                while True:
                    stack.callback(engine.pool.connect().close)
        yield


@pytest.mark.parametrize("call", [Joining.stage, Joining.stage_all, Joining.queue])
def test_a_request_waits_while_every_database_connection_is_in_use(joining, source, database, call):
    request, other = (wanted(joining, source, "stateful") for _ in range(2))
    refusals = DATABASE_UNAVAILABLE._value
    before = refusals.get()
    with ThreadPoolExecutor() as pool:
        with every_connection_in_use(database):
            waiting = pool.submit(call, patient(joining), request, ORIGIN)
            asking = pool.submit(patient(joining).is_staged, other)
            eventually(lambda: refusals.get() >= before + 4, "no connection was waited for")
            assert not waiting.done()
            assert not asking.done()
        waiting.result()
        assert asking.result() is False
    assert joining.waiter_slots.taken == 0


class CongestedOnce(SingleFlight):
    """Finds no database connection at the first call, and records the deadlines of all calls."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: list[float] = []

    def run(self, key: Hashable, work: Callable[[], None], client: Client, deadline: float) -> None:
        self.deadlines.append(deadline)
        if len(self.deadlines) == 1:
            raise NoConnectionFree("none")
        super().run(key, work, client, deadline)


def test_a_request_that_is_tried_again_has_no_more_patience_than_before(joining, source):
    flights = CongestedOnce()
    request = wanted(joining, source, "stateful")
    replace(joining, flights=flights).stage(request, ORIGIN)
    first, second = flights.deadlines
    assert first == second


def test_without_a_database_connection_a_request_is_refused_once_its_patience_is_over(
    joining, source, database
):
    request = wanted(joining, source, "stateful")
    with every_connection_in_use(database), pytest.raises(NoConnectionFree):
        joining.stage(request, ORIGIN)
    joining.stage(request, ORIGIN)


def test_a_cancelled_staging_ends_the_waits_for_it(joining, source):
    request = wanted(joining, source, "stateful")
    with ThreadPoolExecutor() as pool:
        with hold(joining.stagings.locks, ARCHIVE, request.archive_url, OTHER):
            waiting = pool.submit(patient(joining).stage, request, ORIGIN)
            noted(joining, request)
        joining.stagings.cancel(noted(joining, request).id, OTHER)
        with pytest.raises(StagingApiError, match="stateful: the staging was cancelled"):
            waiting.result()


def test_an_artifact_that_is_evicted_during_a_wait_is_brought_again(joining, source, database):
    request = wanted(joining, source, "stateful", "test_suites")
    stagings = joining.stagings
    stagings.stage(stagings.check_request(request.archive_url, ["stateful"]), ORIGIN)
    with ThreadPoolExecutor() as pool:
        with hold(stagings.locks, ARCHIVE, request.archive_url, OTHER) as held:
            waiting = pool.submit(patient(joining).stage, request, ORIGIN)
            noted(joining, request)
            with stagings.database.connect() as conn:
                (row,) = reading.artifacts_of(conn, request.archive_url, ["stateful"])
            stagings.artifacts.evict(row.id, OTHER)
            assert not waiting.done()
            assert held.lease.kind == ARCHIVE
        assert states(database, request.archive_url)["stateful"] == "pending"
        resume(stagings, noted(joining, request), OTHER)
        waiting.result()
    brought = {"autotest_packages": "missing", "control_files": "missing"}  # with test_suites
    wanted_too = {"stateful": "staged", "test_suites": "staged"}
    assert states(database, request.archive_url) == wanted_too | brought


def test_a_failed_artifact_is_queued_again_behind_the_lock_holder(joining, source):
    request = wanted(joining, source, "stateful")
    content = source.objects.pop(f"{request.archive_url.removeprefix(source.url)}/stateful.tgz")
    with pytest.raises(ArtifactNotFound):
        joining.stage(request, ORIGIN)
    source.objects[f"{request.archive_url.removeprefix(source.url)}/stateful.tgz"] = content
    with ThreadPoolExecutor() as pool:
        with hold(joining.stagings.locks, ARCHIVE, request.archive_url, OTHER):
            waiting = pool.submit(patient(joining).stage, request, ORIGIN)
            noted(joining, request)
        resume(joining.stagings, noted(joining, request), OTHER)
        waiting.result()


def test_a_request_does_not_join_a_staging_in_which_an_artifact_failed(joining, source, database):
    request = wanted(joining, source, "build")
    joining.queue(request, OTHER)
    execute(
        database,
        "UPDATE staged_artifacts SET state = 'failed', error_code = 'x' WHERE name = 'autotest'",
    )
    part = joining.stagings.check_request(request.archive_url, ["autotest", "stateful"])
    joining.queue(part, ORIGIN)
    assert states(database, request.archive_url)["autotest"] == "pending"
    joining.queue(part, ORIGIN)
    assert select(database, "SELECT count(*) FROM stagings") == [(2,)]


def test_planning_without_the_lock_does_not_touch_artifacts_in_work(joining, source):
    request = wanted(joining, source, "build")
    # One after another, so that it is known which artifacts are staged.
    stagings = replace(joining.stagings, helpers=threading.Semaphore(0))
    held = source.hold(request.archive_url, "stateful.tgz")
    with ThreadPoolExecutor() as pool:
        working = pool.submit(stagings.stage, request, OTHER)
        held.wait_until_reached()
        joining.queue(stagings.check_request(request.archive_url, ["stateful", "symbols"]), ORIGIN)
        with stagings.database.connect() as conn:
            rows = reading.artifacts_of(conn, request.archive_url, ["full_payload", "stateful"])
        held.release()
        working.result()
    assert [row.state for row in rows] == ["staged", "staging"]


def test_concurrent_requests_in_any_order_write_one_row_per_artifact(joining, source):
    request = wanted(joining, source, "build")
    gate = threading.Barrier(8)

    def queue(number: int) -> None:
        names = ["full_payload", "stateful", "test_suites", "symbols"]
        gate.wait()
        joining.queue(
            joining.stagings.check_request(
                request.archive_url, names if number % 2 else names[::-1]
            ),
            ORIGIN,
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(queue, range(8)))
    with joining.stagings.database.connect() as conn:
        rows = reading.artifacts_of(conn, request.archive_url, ["full_payload", "symbols"])
    assert [row.name for row in rows] == ["full_payload", "symbols"]


def test_identical_concurrent_requests_write_one_staging(joining, source, database):
    request = wanted(joining, source, "build")
    gate = threading.Barrier(8)

    def queue(_number: int) -> None:
        gate.wait()
        joining.queue(request, ORIGIN)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(queue, range(8)))
    assert select(database, "SELECT count(*) FROM stagings") == [(1,)]


def test_a_request_beyond_the_waiter_slots_is_refused(joining, source):
    request = wanted(joining, source, "stateful")
    with ThreadPoolExecutor() as pool:
        with hold(joining.stagings.locks, ARCHIVE, request.archive_url, OTHER):
            waiting = [pool.submit(patient(joining).stage, request, ORIGIN) for _ in range(2)]
            wait_for_taken_slots(joining, 2)
            with pytest.raises(Unavailable, match="too many requests are waiting"):
                joining.stage(request, ORIGIN)
        # One of the waiting requests may have taken over the work first.
        with suppress(LockHeld):
            resume(joining.stagings, noted(joining, request), OTHER)
        for one in waiting:
            one.result()
    assert joining.waiter_slots.taken == 0


def test_shutdown_ends_the_waits_of_a_process(joining, source):
    request = wanted(joining, source, "stateful")
    with (
        ThreadPoolExecutor() as pool,
        hold(joining.stagings.locks, ARCHIVE, request.archive_url, OTHER),
    ):
        waiting = pool.submit(patient(joining).stage, request, ORIGIN)
        noted(joining, request)
        joining.stagings.locks.shutdown.begin(seconds=60)
        with pytest.raises(ShuttingDown):
            waiting.result()


def test_a_service_that_refuses_second_callers_lets_none_wait(joining, source):
    request = wanted(joining, source, "stateful")
    refusing = replace(joining, refuses=True)
    with (
        hold(joining.stagings.locks, ARCHIVE, request.archive_url, OTHER),
        ThreadPoolExecutor() as p,
    ):
        for method in (refusing.stage, refusing.queue):
            with pytest.raises(LockHeld):
                p.submit(method, request, ORIGIN).result()
    assert bringer(joining, request) is None


def test_is_staged_probes_one_index_and_nothing_else(database: Database) -> None:
    with database.begin() as conn, conn.begin_nested() as world:
        # With few rows PostgreSQL scans the table, or uses an index on the name alone; the plan for
        # many rows matters. Statistics dropped here exist again at the end.
        conn.execute(text("SET LOCAL enable_seqscan = off"))
        conn.execute(text("DROP INDEX staged_artifacts_name_idx"))
        conn.execute(text("DISCARD PLANS"))
        # The counters also include this connection's other statements of the last second.
        before = {row.relname: row.scans for row in conn.execute(text(_SCANS))}
        found_files.outcomes(conn, "a", ["b", "c"])
        after = {row.relname: row.scans for row in conn.execute(text(_SCANS))}
        world.rollback()
    (used,) = (name for name in after if after[name] > before.get(name, 0))
    # Both indexes begin with archive and name; the cheaper one depends on rows of earlier tests.
    assert used in ("staged_artifacts_live_key", "staged_artifacts_archive_url_name_idx")


# The numbers of scans of the table itself, and of each of its indexes.
_SCANS = """
    SELECT c.relname, pg_stat_get_xact_numscans(c.oid) AS scans
    FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE 'staged_artifacts'::regclass IN (c.oid, i.indrelid)
"""


def program(folder: Path, script: str) -> Path:
    """Return an executable with these lines."""
    path = folder / "stackwalk"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def symbolication(joining: Joining, path: Path, seconds: float = 60.0) -> Symbolication:
    stagings = joining.stagings
    return Symbolication(path, stagings.database, stagings.blobs, limit_seconds=seconds)


def stack_of(joining: Joining, source: ArchiveSource, walk: Symbolication, folder: Path) -> bytes:
    """Return the stack trace of a dump, with the symbols of a new build."""
    request = wanted(joining, source, "symbols")
    joining.stage(request, ORIGIN)
    dump = folder / "dump"
    dump.write_bytes(b"dump")
    return walk.of_build(dump, request.archive_url)


def is_gone(pid: int) -> bool:
    return not Path("/proc", str(pid)).exists()


def test_a_stackwalk_that_hangs_is_killed_with_its_children(joining, source, tmp_path):
    pids = tmp_path / "pids"
    hanging = program(tmp_path, f"sleep 1000 & echo $$ $! > {pids}; wait")
    with pytest.raises(StagingApiError, match="within"):
        stack_of(joining, source, symbolication(joining, hanging, seconds=1), tmp_path)
    for pid in map(int, pids.read_text().split()):
        eventually(partial(is_gone, pid), f"{pid} still runs")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -SEGV $$", "status -11"),
        ("exec head -c 20000000 /dev/zero", "status -25"),
        ("echo broken >&2; exit 2", "status 2.*broken"),
    ],
)
def test_the_failure_of_a_stackwalk_is_reported(joining, source, tmp_path, script, reason):
    walk = symbolication(joining, program(tmp_path, script))
    with pytest.raises(StagingApiError, match=reason):
        stack_of(joining, source, walk, tmp_path)


def test_a_missing_stackwalk_is_reported(joining, source, tmp_path):
    walk = symbolication(joining, tmp_path / "nothing")
    with pytest.raises(StagingApiError, match="stackwalk"):
        stack_of(joining, source, walk, tmp_path)


def test_a_stackwalk_does_not_inherit_the_environment(joining, source, tmp_path, monkeypatch):
    monkeypatch.setenv("STAGING_SECRET", "x")
    walk = symbolication(joining, program(tmp_path, "env"))
    lines = stack_of(joining, source, walk, tmp_path).decode().split("\n")
    assert "LC_ALL=C.UTF-8" in lines
    assert not any(line.startswith("STAGING") for line in lines)


def test_a_stackwalk_has_limits_of_memory_output_and_cores(joining, source, tmp_path):
    # The limits are set after the start, that of core dumps last; a machine may have it already.
    script = (
        'until [ "$(ulimit -f)" != unlimited ] && [ "$(ulimit -c)" = 0 ]; do :; done;'
        " ulimit -v; ulimit -f; ulimit -c"
    )
    lines = stack_of(joining, source, symbolication(joining, program(tmp_path, script)), tmp_path)
    memory_kib, output_blocks, core = map(int, lines.split())
    assert (memory_kib, core) == (8 << 20, 0)
    assert output_blocks * 512 == 16 << 20


def names(found: Sequence[found_files.FoundFile]) -> list[str]:
    return [file.path for file in found]


def test_a_folder_lists_only_files_of_its_archive(joining, source):
    request = wanted(joining, source, "stateful", "test_suites")
    joining.stage(request, ORIGIN)
    with joining.stagings.database.connect() as conn:
        prefix = found_files.folder_of(conn, request.archive_url)
        below = names(found_files.files_below(conn, prefix, "autotest/"))
        none = found_files.files_below(conn, prefix[:-1], "")
    assert below == [f"{prefix}/autotest/test_suites/control.bvt"]
    assert none == []
