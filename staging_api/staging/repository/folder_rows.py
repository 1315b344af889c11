"""List the staged files of a folder below ``/static``, a page at a time."""

from sqlalchemy import Connection, text

from staging_api.staging.model import FolderChild, ServedFile


def children_of(conn: Connection, folder: str, after: str, limit: int) -> list[FolderChild]:
    """Return the files and folders directly in a folder, in the order of their bytes.

    Each entry costs one index probe, however many files lie deeper.

    Args:
        folder: folder below ``/static``; ends in ``/``.
        after: name of the last known entry; empty: from the first.
    """
    given = {
        "folder": folder,
        "start": _behind(folder + after) if after else folder,
        # The next character after the slash: behind all paths in the folder.
        "beyond": _behind(folder),
        "limit": limit,
    }
    return [
        FolderChild(row.name, None, None)
        if row.name.endswith("/")
        else FolderChild(row.name, row.sha256, row.size_bytes)
        for row in conn.execute(_CHILDREN, given)
    ]


def served_below(conn: Connection, folder: str, limit: int) -> list[ServedFile]:
    """Return the files below a folder that ends in ``/``, at any depth, in bytewise order."""
    given = {"folder": folder, "beyond": _behind(folder), "limit": limit}
    found = conn.execute(_SERVED_BELOW, given)
    return [ServedFile(**row._mapping) for row in found]  # noqa: SLF001 - its public name


def _behind(path: str) -> str:
    # Behind a folder: "0" follows "/". Behind a file: paths contain no control characters, so
    # nothing lies between ``path`` and ``path`` with one more.
    return f"{path[:-1]}0" if path.endswith("/") else f"{path}\x01"


_CHILDREN = text("""
    WITH RECURSIVE child AS (
        (SELECT f.path, f.sha256, f.size_bytes
         FROM staged_files f JOIN staged_artifacts a ON a.id = f.artifact_id AND a.state = 'staged'
         WHERE f.path COLLATE "C" >= :start AND f.path COLLATE "C" < :beyond
         ORDER BY f.path COLLATE "C", a.staged_at DESC LIMIT 1)
        UNION ALL
        SELECT behind.* FROM child CROSS JOIN LATERAL (
            SELECT f.path, f.sha256, f.size_bytes
            FROM staged_files f
            JOIN staged_artifacts a ON a.id = f.artifact_id AND a.state = 'staged'
            WHERE f.path COLLATE "C" < :beyond AND f.path COLLATE "C" >= CASE
                WHEN strpos(substr(child.path, length(:folder) + 1), '/') > 0
                THEN :folder || split_part(substr(child.path, length(:folder) + 1), '/', 1) || '0'
                ELSE child.path || chr(1) END
            ORDER BY f.path COLLATE "C", a.staged_at DESC LIMIT 1
        ) behind
    )
    SELECT split_part(rest, '/', 1) || CASE WHEN strpos(rest, '/') > 0 THEN '/' ELSE '' END AS name,
        sha256, size_bytes
    FROM (SELECT substr(path, length(:folder) + 1) AS rest, sha256, size_bytes FROM child) c
    LIMIT :limit
""")

_SERVED_BELOW = text("""
    SELECT DISTINCT ON (f.path COLLATE "C")
        f.path, f.artifact_id, f.sha256, f.size_bytes, a.staged_at, f.executable,
        f.pack_sha256, f.pack_bytes, f.pack_offset
    FROM staged_files f JOIN staged_artifacts a ON a.id = f.artifact_id AND a.state = 'staged'
    WHERE f.path COLLATE "C" > :folder AND f.path COLLATE "C" < :beyond
    ORDER BY f.path COLLATE "C", a.staged_at DESC LIMIT :limit
""")
