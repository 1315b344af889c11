"""The rows by which a reader follows a file that is still being written.

`note_growth` and `end_growth` take a connection that has passed `locks.store.guard` in the same
transaction.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, text

from staging_api.db.tables import growing_files


@dataclass(frozen=True)
class IncomingFile:
    """A path below ``/static`` whose file is not staged yet, and the staging that brings it.

    Attributes:
        staging_id: an unfinished staging that requested it; changes with `version`.
        file: path of the growing file below the folder of the store; None: it has not begun.
        bytes_done: number of readable bytes, from its start.
        size_bytes: its final length; None: not known.
    """

    artifact_id: str
    staging_id: str
    version: int
    file: str | None
    bytes_done: int
    size_bytes: int | None


def note_growth(
    conn: Connection, artifact_id: str, file: str, bytes_done: int, size_bytes: int | None
) -> None:
    """Record how many bytes of the file of an artifact are written."""
    given = {"id": artifact_id, "file": file, "done": bytes_done, "size": size_bytes}
    conn.execute(_NOTE, given)


def end_growth(conn: Connection, artifact_id: str) -> None:
    """Delete the row: the file is not written any more."""
    conn.execute(delete(growing_files).where(growing_files.c.artifact_id == artifact_id))


def incoming_file(conn: Connection, path: str) -> IncomingFile | None:
    """Return the file that a staging brings to `path`; None if none does, or it is staged."""
    row = conn.execute(_COMING, {"path": path, "image": path.removeprefix("images/")}).one_or_none()
    return None if row is None else IncomingFile(*row)


_NOTE = text("""
    INSERT INTO growing_files AS g (artifact_id, attempt, file, bytes_done, size_bytes)
    SELECT id, attempt, :file, :done, :size FROM staged_artifacts WHERE id = :id
    ON CONFLICT (artifact_id) DO UPDATE
    SET attempt = excluded.attempt, file = excluded.file, bytes_done = excluded.bytes_done,
        size_bytes = excluded.size_bytes
""")

# Images appear a second time, below images/. A row of a dead process has an earlier attempt.
_COMING = text("""
    SELECT a.id, s.id, s.version, g.file, coalesce(g.bytes_done, 0), g.size_bytes
    FROM staged_artifacts a
    JOIN LATERAL (
        SELECT id, version FROM stagings
        WHERE archive_url = a.archive_url AND a.name = ANY (requested)
          AND finished_at IS NULL AND cancel_requested_at IS NULL
        ORDER BY id LIMIT 1) s ON true
    LEFT JOIN growing_files g
        ON g.artifact_id = a.id AND g.attempt = a.attempt AND a.state = 'staging'
    WHERE (a.path = :path OR a.path = :image AND a.lock_kind = 'images')
      AND a.state IN ('pending', 'staging')
    ORDER BY a.id DESC LIMIT 1
""")
