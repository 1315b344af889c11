"""A store under load: 700 contents to remove from a slow bucket, 300,000 empty artifacts."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from staging_api.db.timeouts import Timeouts
from staging_api.errors import NoSpace
from staging_api.staging.upkeep import StoreTerms
from staging_api.store.opening import open_store
from tests.buckets import new_bucket, s3_server
from tests.faulty_bucket import Fault, faulty_bucket
from tests.rows import execute, select
from tests.stagings import Bench, bench

DOOMED, CALL_SECONDS = 700, 0.13
ROWS = 300_000
TERMS = StoreTerms(idle_seconds=0, noted_seconds=0, busy_seconds=0)

#: Number of artifacts that were last read long ago, and have no bytes.
EMPTY_ARTIFACTS = """
WITH n AS (SELECT i, lpad(i::text, 26, '0') AS id FROM generate_series(1, :count) i),
a AS (INSERT INTO archives (archive_url, static_prefix) VALUES ('file:///empty', 'empty')),
s AS (INSERT INTO stagings (id, archive_url, state, requested, caller, foreground_staged_at,
          finished_at)
      VALUES (lpad('1', 26, '0'), 'file:///empty', 'staged', ARRAY['x'], 'x', now(), now()))
INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state, path,
    size_bytes, sha256, source_url, fence, staged_at)
SELECT id, lpad('1', 26, '0'), 'file:///empty', 'file:' || i, 'archive', 'foreground', 'staged',
    'empty/' || i, 0, repeat('0', 64), 'file:///empty', 1, now() - interval '1 day'
FROM n
"""


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("at_once", [True, False], ids=["multi-object delete", "single deletes"])
def test_a_slow_bucket_is_collected_while_others_stage(
    database: Database, database_url: str, tmp_path: Path, *, at_once: bool
) -> None:
    # The server ends transactions that are idle for longer than a few calls to the bucket.
    impatient = open_database(
        database_url, 4, Timeouts(statement_seconds=10, idle_seconds=1, hung_seconds=15)
    )
    with s3_server() as endpoint, faulty_bucket(endpoint) as slow:
        direct = new_bucket(endpoint)
        blobs = open_store(direct.replace(endpoint, slow.endpoint), tmp_path / "home")
        with bench(impatient, database_url, tmp_path, blobs=blobs, store=TERMS) as at:
            with open_store(direct, tmp_path / "fill").batch("fill") as batch:
                digests = [batch.keep([b"%d" % number]).sha256 for number in range(DOOMED)]
                batch.commit()
            execute(
                database,
                "INSERT INTO blobs (sha256, size_bytes, doomed_at)"
                " SELECT unnest(:digests), 0, clock_timestamp()",
                digests=digests,
            )
            at.service.upkeep.identity.check()

            def fault(method: str, _path: str) -> Fault:
                if method == "POST" and not at_once:
                    return Fault(501, "NotImplemented")
                return Fault(delay=CALL_SECONDS)

            slow.fault_of = fault
            collected: list[int] = []
            thread = threading.Thread(target=lambda: collected.append(at.service.upkeep.collect()))
            thread.start()
            staged = 0
            while thread.is_alive():
                url = at.build(f"R17-{staged}")
                assert at.stage(url, "payload").state == "staged"
                staged += 1
            thread.join()
    impatient.close()
    assert collected == [DOOMED]
    assert staged > 0
    assert select(database, "SELECT count(*) FROM blobs WHERE doomed_at IS NOT NULL") == [(0,)]


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_hundreds_of_thousands_of_rows_without_bytes_are_not_evicted_one_by_one(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = replace(TERMS, quota_bytes=10_000)
    with bench(database, database_url, tmp_path, store=terms) as at:
        kept = at.build("kept", payload_bin=bytes(6_000))
        assert at.stage(kept, "payload").state == "staged"
        execute(database, "UPDATE staged_artifacts SET pinned_until = now() + interval '1 day'")
        with database.begin() as conn:
            conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
            conn.exec_driver_sql(EMPTY_ARTIFACTS.replace(":count", str(ROWS)))
        execute(database, "ANALYZE staged_artifacts")
        statements = _counted(at, monkeypatch)
        with pytest.raises(NoSpace):
            at.stage(at.build("large", payload_bin=bytes(6_001)), "payload")
        # The number of a plain staging; not one more for each of the rows.
        assert len(statements) < 100, len(statements)
    rows = select(database, "SELECT state, count(*) FROM staged_artifacts GROUP BY 1 ORDER BY 1")
    assert rows == [("failed", 1), ("staged", ROWS + 1)]


def _counted(at: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record evictions and transactions from now on."""
    seen: list[str] = []
    for name in ("begin", "connect"):
        real = getattr(Database, name)

        def noted(database: Database, *, real: object = real, name: str = name) -> object:
            seen.append(name)
            return real(database)  # type: ignore[operator]

        monkeypatch.setattr(Database, name, noted)
    assert at.service
    return seen
