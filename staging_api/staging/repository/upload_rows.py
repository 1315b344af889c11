"""The rows of upload waits, and of the polls of archives.

`begin_upload_wait`, `end_upload_wait` and `put_off` take a connection that has passed
`locks.store.guard` in the same transaction; the polls of an archive need no lock.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from staging_api.db.tables import manifests, staged_artifacts, stagings, upload_polls
from staging_api.sources.manifest import Manifest
from staging_api.sources.model import Names
from staging_api.staging.repository.staging_rows import lock_stagings
from staging_api.staging.repository.terms import is_to_do, now


@dataclass(frozen=True)
class Poll:
    """The result of the newest poll; `names` is None before the first one has ended."""

    names: Names | None
    next_in_seconds: float


def begin_upload_wait(
    conn: Connection, staging_id: str, name: str, allowed_seconds: float
) -> float:
    """Record a wait for an artifact; return its remaining seconds."""
    began = func.coalesce(stagings.c.upload_wait_began_at, now())
    waiting = func.array_remove(func.coalesce(stagings.c.waiting_for, text("'{}'::text[]")), name)
    left = began + timedelta(seconds=allowed_seconds) - now()
    row = conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id)
        .values(
            upload_wait_began_at=began,
            upload_wait_ended_at=None,
            waiting_for=func.array_append(waiting, name),
            version=stagings.c.version + 1,
        )
        .returning(func.extract("epoch", left).label("left"))
    )
    return float(row.scalar_one())


def end_upload_wait(conn: Connection, staging_id: str) -> None:
    """Record that the upload wait is over."""
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id)
        .values(upload_wait_ended_at=now(), waiting_for=None, version=stagings.c.version + 1)
    )


def put_off(conn: Connection, archive_url: str, name: str, pause_seconds: float) -> None:
    """Postpone an artifact."""
    lock_stagings(conn, archive_url)
    conn.execute(
        update(staged_artifacts)
        .where(
            staged_artifacts.c.archive_url == archive_url,
            staged_artifacts.c.name == name,
            is_to_do,
        )
        .values(next_attempt_at=now() + timedelta(seconds=pause_seconds))
    )


def claim_poll(conn: Connection, archive_url: str, pause_seconds: float) -> bool:
    """Claim the next poll of an archive, for `pause_seconds`; return whether it was free."""
    given = {"url": archive_url, "pause": pause_seconds}
    return conn.execute(_CLAIM, given).one_or_none() is not None


def note_poll(conn: Connection, archive_url: str, names: Names) -> None:
    """Record the names that a poll found, for all waiters; names that are left out, too."""
    conn.execute(
        update(upload_polls)
        .where(upload_polls.c.archive_url == archive_url)
        .values(polled_at=now(), names=names.everything)
    )


def newest_poll(conn: Connection, archive_url: str) -> Poll:
    """Return the newest poll of an archive."""
    left = func.extract("epoch", upload_polls.c.next_poll_at - now())
    row = conn.execute(
        select(upload_polls.c.names, left.label("left")).where(
            upload_polls.c.archive_url == archive_url
        )
    ).one_or_none()
    if row is None:
        return Poll(None, 0.0)
    names = None if row.names is None else Names.parted(row.names)
    return Poll(names, float(row.left))


def kept_manifest(conn: Connection, archive_url: str) -> Manifest | None:
    """Return the last read manifest of this archive; None if none was read."""
    columns = (manifests.c.version, manifests.c.sha256, manifests.c.names)
    row = conn.execute(select(*columns).where(manifests.c.archive_url == archive_url)).one_or_none()
    return None if row is None else Manifest(row.version, row.sha256, Names.parted(row.names))


def keep_manifest(conn: Connection, archive_url: str, manifest: Manifest) -> None:
    """Store this version of the archive's manifest, so that it is read once."""
    values = {
        "version": manifest.version,
        "sha256": manifest.sha256,
        "names": manifest.names.everything,
        "read_at": now(),
    }
    row = insert(manifests).values(archive_url=archive_url, **values)
    conn.execute(row.on_conflict_do_update(index_elements=["archive_url"], set_=values))


def forget_polls(conn: Connection, older_than_seconds: float) -> int:
    """Delete old polls; return their number."""
    old = upload_polls.c.next_poll_at < now() - timedelta(seconds=older_than_seconds)
    return conn.execute(upload_polls.delete().where(old)).rowcount


_CLAIM = text("""
    INSERT INTO upload_polls AS p (archive_url, next_poll_at)
    VALUES (:url, clock_timestamp() + make_interval(secs => :pause))
    ON CONFLICT (archive_url) DO UPDATE
    SET next_poll_at = excluded.next_poll_at, polls = p.polls + 1
    WHERE p.next_poll_at <= clock_timestamp()
    RETURNING true
""")
