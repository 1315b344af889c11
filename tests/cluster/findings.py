"""Consistency of tables, store and the source's log after the trouble."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import text

from staging_api.db.engine import Database, open_database
from staging_api.publishing.signing import SigningKey
from staging_api.staging.audit import verify
from staging_api.store.folder_store import FolderStore
from staging_api.store.places import open_at, place_in
from tests.cluster.archives_found import archive_counts, look_at_archives
from tests.cluster.clients import Shift
from tests.cluster.cluster import Cluster
from tests.cluster.load import Load
from tests.cluster.packages import Packages
from tests.leases import rows
from tests.service import eventually

_UNSETTLED = """
    SELECT 'staging ' || id || ' is ' || state FROM stagings
    WHERE state NOT IN ('staged', 'failed', 'cancelled')
    UNION ALL
    SELECT 'artifact ' || id || ' is ' || state FROM staged_artifacts
    WHERE state IN ('pending', 'staging')
    UNION ALL
    SELECT 'lock ' || id || ' has no outcome' FROM api_locks WHERE outcome IS NULL
"""
# An expired grant ended with its lease, even if the expiry was noticed later.
_OVERLAPS = """
    SELECT a.id, b.id, a.scope FROM api_locks a JOIN api_locks b
    ON a.kind = b.kind AND a.scope = b.scope AND a.fence < b.fence
    AND b.acquired_at < least(a.ended_at, a.expires_at)
"""
_ATTEMPTS = "SELECT source_url, attempt FROM staged_artifacts WHERE source_url IS NOT NULL"
_STAGED = """
    SELECT source_url, extract(epoch FROM staged_at)::float8 FROM staged_artifacts
    WHERE state = 'staged'
"""


@dataclass(frozen=True)
class Findings:
    """Results of the checks.

    Attributes:
        wrong: violations, as texts; empty if all is well.
        counts: figures for the report, by name.
    """

    wrong: list[str]
    counts: Mapping[str, int]


def look(
    cluster: Cluster, shift: Shift, load: Load, packages: Packages, key: SigningKey
) -> Findings:
    """Wait until the workers have finished the remaining work, then check everything."""
    with closing(open_database(cluster.owner_url, 2)) as database:
        wrong = [*look_at_archives(database, shift, packages, key)]
        eventually(lambda: not _unsettled(database), "something is never settled")
        wrong += [*shift.seen.wrong, *_unsettled(database)]
        wrong += [f"overlap: {a} and {b} of {scope}" for a, b, scope in rows(database, _OVERLAPS)]
        wrong += _lost(database, load)
        wrong += _false_files(database, load, FolderStore(cluster.service.store))
        reads = _reads(cluster)
        wrong += _fetched_for_nothing(database, reads)
        wrong += _surprises(cluster)
        wrong += [f"record: {one.staging_id}: {one.what}" for one in verify(database).breaks]
        return Findings(wrong, {**_counts(database, reads), **archive_counts(database)})


def _unsettled(database: Database) -> list[str]:
    with database.connect() as conn:
        conn.execute(text("SELECT lock_expire('proof')"))
    return [what for (what,) in rows(database, _UNSETTLED)]


def _lost(database: Database, load: Load) -> Iterator[str]:
    known = {found for (found,) in rows(database, "SELECT id FROM stagings")}
    for staging_id, url in load.acknowledged.items():
        if staging_id not in known:
            yield f"lost: staging {staging_id} of {url} was acknowledged"


def _false_files(database: Database, load: Load, blobs: FolderStore) -> Iterator[str]:
    """Check that each file in a row is in the store, complete, and equal to the source."""
    expected = {path: digest for files in load.archives.values() for path, digest in files.items()}
    named = list(
        rows(
            database,
            "SELECT path, sha256, size_bytes, pack_sha256, pack_bytes, pack_offset"
            " FROM staged_files WHERE pack_offset IS NULL OR pack_sha256 IS NOT NULL",
        )
    )
    for digest, *where in {each[1:] for each in named}:
        with open_at(blobs, place_in(digest, *where)) as file:
            if sha256(file.read()).hexdigest() != digest:
                yield f"the store has something else as {digest}"
    for path, digest, *_ in named:
        if expected.get(path, digest) != digest:
            yield f"{path} is not what the source has"


def _surprises(cluster: Cluster) -> Iterator[str]:
    """Yield unexpected errors in the pods' logs."""
    for log in cluster.folder.glob("*/log"):
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("{") and "exception" in (entry := json.loads(line)):
                yield f"{log.parent.name}: {entry['event']}: {entry['exception'][-2000:]}"


@dataclass(frozen=True)
class _Read:
    began: float
    whole: bool


def _reads(cluster: Cluster) -> Mapping[str, list[_Read]]:
    """Return the reads of each object from its start, without the manifest, which lists need."""
    found: dict[str, list[_Read]] = defaultdict(list)
    for line in cluster.reads.read_text().splitlines():
        read: dict[str, Any] = json.loads(line)
        from_start = (read["range"] or "bytes=0-").startswith("bytes=0-")
        if from_start and not read["path"].endswith("/UPLOADED"):
            found[f"s3:/{read['path']}"].append(_Read(read["began"], read["sent"] == read["of"]))
    return found


def _fetched_for_nothing(database: Database, reads: Mapping[str, list[_Read]]) -> Iterator[str]:
    """Yield reads without an attempt of their own, and reads of already staged objects."""
    staged = dict(rows(database, _STAGED))
    attempts = Counter(dict(rows(database, _ATTEMPTS)))
    for url, times in reads.items():
        if len(times) > attempts[url]:
            yield f"{url} was read {len(times)} times in {attempts[url]} attempts"
        late = [read for read in times if read.began > staged.get(url, read.began)]
        if late:
            yield f"{url} was read again after it was staged"


def _counts(database: Database, reads: Mapping[str, list[_Read]]) -> Mapping[str, int]:
    again = [times for times in reads.values() if len(times) > 1]
    counts = {
        "archives": "SELECT count(*) FROM archives",
        "stagings": "SELECT count(*) FROM stagings",
        "artifacts staged": "SELECT count(*) FROM staged_artifacts WHERE state = 'staged'",
        "artifacts failed": "SELECT count(*) FROM staged_artifacts WHERE state = 'failed'",
        "locks granted": "SELECT count(*) FROM api_locks",
        "locks that ran out, or were taken over": "SELECT count(*) FROM api_locks"
        " WHERE outcome IN ('expired', 'superseded')",
        "events": "SELECT count(*) FROM staging_events",
    }
    return {
        **{what: rows(database, query)[0][0] for what, query in counts.items()},
        "objects read": len(reads),
        "objects read once": len(reads) - len(again),
        "objects read again, for an attempt that was cut off": len(again),
    }
