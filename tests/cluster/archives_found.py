"""State of the APT archives after the trouble, compared with the acknowledged uploads."""

import gzip
import subprocess
from collections.abc import Iterator, Mapping
from hashlib import sha256

from staging_api.db.engine import Database
from staging_api.publishing.signing import SigningKey
from tests.cluster.clients import Shift
from tests.cluster.packages import ARCHIVES, Packages
from tests.leases import rows

_RUNS = "SELECT id, state FROM publisher_runs"
_UPLOADS = "SELECT id, state, error_message FROM uploads"
_GENERATIONS = """
    SELECT a.name, count(*) FILTER (WHERE g.state = 'live'),
        count(*) FILTER (WHERE g.state = 'building')
    FROM apt_archives a JOIN dists_generations g ON g.archive_id = a.id GROUP BY a.name
"""


def look_at_archives(
    database: Database, shift: Shift, packages: Packages, key: SigningKey
) -> Iterator[str]:
    """Publish once more, which must succeed, then yield every inconsistency."""
    with shift.client() as client:
        for archive in ARCHIVES:
            packages.publish(client, archive)
    yield from _lost(database, packages)
    yield from _unfinished(database)
    for archive in ARCHIVES:
        listed = packages.listed(archive)
        yield from packages.missing(packages.newest(archive), listed)
        for package in listed.values():
            packages.check_pool(package)
        yield from _unreadable(packages, archive)
        yield from _unsigned(packages, archive, key)


def archive_counts(database: Database) -> Mapping[str, int]:
    """Return figures for the report."""
    counts = {
        "packages uploaded": "SELECT count(*) FROM uploads WHERE state = 'done'",
        "packages rejected": "SELECT count(*) FROM uploads WHERE state = 'rejected'",
        "publisher runs that succeeded": "SELECT count(*) FROM publisher_runs"
        " WHERE state = 'succeeded'",
        "publisher runs that failed, and said why": "SELECT count(*) FROM publisher_runs"
        " WHERE state = 'failed' AND error_message IS NOT NULL",
        "publisher runs that were abandoned": "SELECT count(*) FROM publisher_runs"
        " WHERE state = 'abandoned'",
        "generations that went live": "SELECT count(*) FROM dists_generations"
        " WHERE state IN ('live', 'retired', 'reaped')",
    }
    return {what: rows(database, query)[0][0] for what, query in counts.items()}


def _lost(database: Database, packages: Packages) -> Iterator[str]:
    """Check that every acknowledged upload and run was published, or its row gives a reason."""
    uploads = {found: (state, why) for found, state, why in rows(database, _UPLOADS)}
    for upload_id, package in packages.acknowledged.items():
        state, why = uploads.get(upload_id, ("not there", None))
        if state != "done" and not (state == "rejected" and why):
            yield f"lost: upload {upload_id} of {package} was acknowledged, and is {state}"
    runs = dict(rows(database, _RUNS))
    for run_id in packages.published:
        if runs.get(run_id) != "succeeded":
            yield f"run {run_id} was reported as succeeded, and is {runs.get(run_id)}"


def _unfinished(database: Database) -> Iterator[str]:
    yield from (
        f"run {run} still runs" for run, state in rows(database, _RUNS) if state == "running"
    )
    for archive, live, building in rows(database, _GENERATIONS):
        if (live, building) != (1, 0):
            yield f"{archive} has {live} live generations, and {building} that are being built"


def _unreadable(packages: Packages, archive: str) -> Iterator[str]:
    """Check that each file in InRelease can be read by hash, or from a packed form."""
    named = packages.named(archive)
    for path, (digest, size) in named.items():
        if f"{path}.gz" in named:
            packed = packages.by_hash(archive, f"{path}.gz", *named[f"{path}.gz"])
            content = gzip.decompress(packed)
            if (sha256(content).hexdigest(), len(content)) != (digest, size):
                yield f"{archive}: {path} is not what InRelease says"
        else:
            packages.by_hash(archive, path, digest, size)


def _unsigned(packages: Packages, archive: str, key: SigningKey) -> Iterator[str]:
    command = ["gpg", "--homedir", str(key.home), "--batch", "--verify"]
    signed = packages.get(archive, "dists/stable/InRelease")
    done = subprocess.run(command, input=signed, capture_output=True, check=False)
    if done.returncode != 0:
        yield f"{archive}: the signature of InRelease is wrong: {done.stderr.decode()}"
