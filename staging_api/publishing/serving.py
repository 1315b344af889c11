"""Finding the file at a path below ``/archive/<name>``."""

from sqlalchemy import Connection

from staging_api.publishing import rows
from staging_api.publishing.index_model import ServedArchiveFile

_RELEASE_NAMES = ("Release", "InRelease", "Release.gpg")
_BY_HASH = "/by-hash/SHA256/"


def release_path(path: str) -> tuple[str, str] | None:
    """Return suite and name of a Release or its signature; None for the path of another file."""
    folder, _, name = path.rpartition("/")
    top, _, suite = folder.partition("/")
    is_release = top == "dists" and suite and "/" not in suite and name in _RELEASE_NAMES
    return (suite, name) if is_release else None


def served_at(
    conn: Connection, apt_archive: str, generation: str | None, path: str
) -> ServedArchiveFile | None:
    """Return the file at a path, if there is one.

    Args:
        conn: any connection.
        apt_archive: the name of the archive.
        generation: the id of one to look at; None for the one that is live.
        path: below the archive's root: ``dists/<suite>/...`` or ``pool/...``.
    """
    if place := release_path(path):
        return rows.release_at(conn, apt_archive, generation, *place)
    top, _, rest = path.partition("/")
    if top == "pool":
        return rows.pool_file_at(conn, apt_archive, path)
    suite, _, name = rest.partition("/")
    if top != "dists" or not name:
        return None
    if _BY_HASH in name:
        folder, _, sha256 = name.rpartition(_BY_HASH)
        return rows.by_hash(conn, apt_archive, suite, folder, sha256)
    return rows.index_at(conn, apt_archive, generation, suite, name)
