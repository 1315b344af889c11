"""Health of a process: its readiness checks, and its gauges for /metrics."""

import logging
from collections.abc import Callable, Iterator, Mapping

from staging_api.db.engine import Database
from staging_api.db.migrate import check_schema
from staging_api.errors import ShuttingDown, SigningFailed, StagingApiError
from staging_api.http.probes import Check, Reading
from staging_api.publishing.rows.apt_archives import validity_left
from staging_api.publishing.signing import SigningKey, expires_at
from staging_api.shutdown import Drain
from staging_api.staging.repository import check_rows, reading, space_rows, usage_rows
from staging_api.staging.store_identity import StoreIdentity
from staging_api.store.blob_store import BlobStore

log = logging.getLogger(__name__)


def readiness_checks(database: Database, blobs: BlobStore, drain: Drain) -> Mapping[str, Check]:
    """Return the checks that must succeed before requests are sent to this process.

    A full disk is not checked: staged files can still be served, and all pods share the disk, so no
    pod would be left. ``staging_store_free_bytes`` and its alert report a full disk.
    """

    def draining() -> None:
        if drain.begun:
            raise ShuttingDown("this pod is shutting down")

    identity = StoreIdentity(database, blobs)

    def store() -> None:
        blobs.check()
        identity.check(adopt=False)

    return {"process": draining, "database": lambda: check_schema(database), "store": store}


def readings(
    database: Database, blobs: BlobStore, key: SigningKey | None = None, quota_bytes: int = 0
) -> Callable[[], Iterator[Reading]]:
    """Return a function that reads gauges from the database, the store and gpg for /metrics."""

    def read() -> Iterator[Reading]:
        yield from _key_expiry(key)
        yield from _disk(blobs)
        if quota_bytes:
            meaning = "Most that STAGING_QUOTA_BYTES lets the store have"
            yield "staging_store_quota_bytes", meaning, {"quota": quota_bytes}
        try:
            with database.connect() as conn:
                queue = reading.queue(conn)
                space = space_rows.space(conn)
                validity = validity_left(conn)
                lost = check_rows.lost_count(conn)
                uses = {each.use: each.bytes for each in usage_rows.usage(conn)}
        except StagingApiError:
            yield "staging_database_up", "Whether the database answers", {"database": 0}
            return
        yield "staging_database_up", "Whether the database answers", {"database": 1}
        used = {"used": space.used, "doomed": space.garbage, "reserved": space.reserved}
        # As counted last by a worker: what no eviction frees.
        used["kept"] = uses.get("packages", 0) + uses.get("pinned", 0)
        yield "staging_store_bytes", "What the store holds and has promised", used
        waiting = {"pool": float(lost)}
        yield (
            "staging_store_lost_contents",
            "Lost contents that no staging can restore",
            waiting,
        )
        states = {"pending": (0, 0.0), "staging": (0, 0.0), **queue}
        depth = {state: float(count) for state, (count, _) in states.items()}
        yield "staging_queue_artifacts", "Artifacts that are not settled, by state", depth
        age = {state: seconds for state, (_, seconds) in states.items()}
        yield "staging_queue_oldest_seconds", "Since the oldest of them was due", age
        share = "Least share of Valid-Until that is left, by APT archive; below 0: expired"
        yield "staging_release_validity_left", share, validity

    return read


def _disk(blobs: BlobStore) -> Iterator[Reading]:
    try:
        free, capacity = blobs.free_bytes(), blobs.capacity_bytes()
    except OSError as error:
        log.warning("the room in the store is not known: %s", error.strerror)
        return
    yield "staging_store_free_bytes", "Room on the disk of the store", {blobs.disk_of: free}
    yield (
        "staging_store_capacity_bytes",
        "Size of the disk of the store, or of the spool",
        {blobs.disk_of: capacity},
    )


def _key_expiry(key: SigningKey | None) -> Iterator[Reading]:
    """Yield the expiry of the signing key; nothing if it never expires, or there is none here."""
    try:
        expiry = expires_at(key)
    except SigningFailed as error:
        log.warning("the expiry of the signing key is unknown: %s", error.detail)
        return
    if key is not None and expiry is not None:
        meaning = "When the signing key expires, by fingerprint"
        figures = {key.fingerprint: expiry.timestamp()}
        yield "staging_signing_key_expires_timestamp_seconds", meaning, figures
