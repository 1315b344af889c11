"""SQL statements that find files below ``/archive``: one statement per file, without a lock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from staging_api.debian.forms import Form
from staging_api.publishing.index_model import FORM_OF, WORD_OF, ArchiveFile, ServedArchiveFile
from staging_api.publishing.release import by_hash_path
from staging_api.publishing.rows.mapping import made

_ENDINGS = (Form.GZ, Form.XZ, Form.ZST)
_AT = """
    FROM apt_archives a
    JOIN dists_generations g ON g.archive_id = a.id
        AND CASE WHEN cast(:generation AS text) IS NULL THEN g.state = 'live'
            ELSE g.id = :generation AND g.state IN ('live', 'retired') END
"""


def _suite_called(name: str) -> str:
    """Return SQL for the id of the suite with this name, alias or codename.

    The suite's own name comes first, then aliases, then codenames, which several suites may share.
    """
    return f"""(
        SELECT c.id FROM suites c
        WHERE c.archive_id = a.id
            AND ({name} = c.name OR {name} = ANY(c.aliases) OR {name} = c.codename)
        ORDER BY {name} = c.name DESC, {name} = ANY(c.aliases) DESC, c.id LIMIT 1)"""  # noqa: S608 - our own words


_SUITE = f" JOIN suites s ON s.id = {_suite_called('cast(:suite AS text)')}"
_EACH_NAME = f"""
    CROSS JOIN LATERAL (
        SELECT DISTINCT unnest(ARRAY[s.name, s.codename] || s.aliases) AS name FROM suites s
        WHERE s.archive_id = a.id) n
    JOIN suites s ON s.id = {_suite_called("n.name")}
"""  # noqa: S608 - our own words
_IN_GENERATION = """
    f.suite_id = s.id AND f.first_number <= g.number
    AND (f.gone_number IS NULL OR f.gone_number > g.number)
"""
# The later of two Releases within one second is dated ahead; until that time it has no date.
_MODIFIED = (
    "CASE WHEN {row}.modified_at <= clock_timestamp() THEN {row}.modified_at END AS modified_at"
)
_RELEASE = text(
    "SELECT f.name, f.content, length(f.content) AS size_bytes, f.sha256,"
    f" {_MODIFIED.format(row='f')} {_AT} {_SUITE}"
    f" JOIN release_files f ON {_IN_GENERATION} AND f.name = :name WHERE a.name = :archive"
)
# Releases that clients would refuse as expired; for the live generation, the next run renews them.
_STALE = text(f"""
    SELECT f.id, f.content {_AT} {_SUITE}
    JOIN release_files f ON {_IN_GENERATION} AND f.name = 'Release'
    WHERE a.name = :archive AND (
        f.valid_until <= clock_timestamp()
        OR g.state = 'retired' AND f.signed_by IS DISTINCT FROM :signer)
""")  # noqa: S608 - our own words
# The Last-Modified of a replacement is later than that of the Release that it replaces.
_LASTING = text("""
    SELECT l.name, l.content, length(l.content) AS size_bytes, l.sha256, date_trunc(
        'second', greatest(l.created_at, f.modified_at + interval '1 second')) AS modified_at
    FROM lasting_releases l JOIN release_files f ON f.id = l.release_id
    WHERE l.release_id = :id AND l.signed_by = :signer
""")
_KEEP_LASTING = text("""
    INSERT INTO lasting_releases (release_id, name, signed_by, content, sha256)
    SELECT f.id, :name, :signer, :content, encode(sha256(cast(:content AS bytea)), 'hex')
    FROM release_files f WHERE f.id = :id
    ON CONFLICT DO NOTHING
""")
_INDEX = text(f"""
    SELECT f.sha256, f.size_bytes, {_MODIFIED.format(row="r")}, f.form, l.blocks {_AT} {_SUITE}
    JOIN index_files f ON {_IN_GENERATION} AND f.path = :path AND f.form = :form AND f.served
    LEFT JOIN release_files r ON r.suite_id = s.id AND r.name = 'Release'
        AND r.first_number = f.first_number
    JOIN index_layouts l ON l.sha256 = f.layout
    WHERE a.name = :archive
""")
_BY_HASH = text(f"""
    SELECT f.sha256, f.size_bytes, f.created_at AS modified_at, f.form, l.blocks
    FROM apt_archives a {_SUITE}
    JOIN index_files f ON f.suite_id = s.id AND f.sha256 = :sha256 AND f.served
        AND f.path IN (:folder || 'Packages', :folder || 'Sources')
    JOIN index_layouts l ON l.sha256 = f.layout
    WHERE a.name = :archive AND a.publish_by_hash LIMIT 1
""")  # noqa: S608 - our own words
_POOL = text("""
    SELECT f.sha256, f.size_bytes, f.created_at AS modified_at
    FROM apt_archives a JOIN package_files f ON f.archive_id = a.id
        AND f.path = :path AND f.removed_at IS NULL
    WHERE a.name = :archive AND EXISTS (
        SELECT FROM package_publications p JOIN binary_releases b ON b.id = p.binary_release_id
        WHERE b.file_id = f.id AND p.published_at IS NOT NULL
        UNION ALL
        SELECT FROM package_publications p
        JOIN source_release_files r ON r.source_release_id = p.source_release_id
        WHERE r.file_id = f.id AND p.published_at IS NOT NULL)
""")
_POOL_LIST = text("""
    SELECT f.path, f.sha256, f.size_bytes FROM apt_archives a
    JOIN package_files f ON f.archive_id = a.id AND f.removed_at IS NULL
    WHERE a.name = :archive AND f.path > :after AND EXISTS (
        SELECT FROM package_publications p JOIN binary_releases b ON b.id = p.binary_release_id
        WHERE b.file_id = f.id AND p.published_at IS NOT NULL AND p.removed_at IS NULL
        UNION ALL
        SELECT FROM package_publications p
        JOIN source_release_files r ON r.source_release_id = p.source_release_id
        WHERE r.file_id = f.id AND p.published_at IS NOT NULL AND p.removed_at IS NULL)
    ORDER BY f.path LIMIT :limit
""")
_DISTS_LIST = text(f"""
    SELECT n.name AS suite, f.path, f.form, f.sha256, f.size_bytes, a.publish_by_hash {_AT}
    {_EACH_NAME}
    JOIN index_files f ON {_IN_GENERATION} AND f.served
    WHERE a.name = :archive ORDER BY n.name, f.path, f.form
""")
_RELEASE_LIST = text(f"""
    SELECT n.name AS suite, f.name, f.sha256, length(f.content) AS size_bytes {_AT}
    {_EACH_NAME}
    JOIN release_files f ON {_IN_GENERATION}
    WHERE a.name = :archive
    ORDER BY array_position(ARRAY['Release.gpg', 'Release', 'InRelease'], f.name), n.name
""")


def release_at(
    conn: Connection, apt_archive: str, generation: str | None, suite: str, name: str
) -> ServedArchiveFile | None:
    """Return a Release or its signature, or None."""
    given = {"archive": apt_archive, "generation": generation, "suite": suite, "name": name}
    row = conn.execute(_RELEASE, given).one_or_none()
    return None if row is None else made(ServedArchiveFile, row)


@dataclass(frozen=True)
class StaleRelease:
    """The Release of a suite in a generation, which clients would not trust any more."""

    id: int
    content: bytes


def stale_release(
    conn: Connection, apt_archive: str, generation: str, suite: str, signer: str
) -> StaleRelease | None:
    """Return a generation's Release if it has expired or `signer` has not signed it; else None."""
    given = {"archive": apt_archive, "generation": generation, "suite": suite, "signer": signer}
    row = conn.execute(_STALE, given).one_or_none()
    return None if row is None else made(StaleRelease, row)


def lasting_releases(
    conn: Connection, release_id: int, signer: str
) -> dict[str, ServedArchiveFile]:
    """Return the replacement texts of a stale Release, by name."""
    rows = conn.execute(_LASTING, {"id": release_id, "signer": signer})
    return {row.name: made(ServedArchiveFile, row) for row in rows}


def keep_lasting(
    conn: Connection, release_id: int, signer: str, texts: Mapping[str, bytes]
) -> None:
    """Store the replacement texts of a stale Release, unless another process has stored some."""
    rows = [
        {"id": release_id, "signer": signer, "name": name, "content": content}
        for name, content in texts.items()
    ]
    conn.execute(_KEEP_LASTING, rows)


def index_at(
    conn: Connection, apt_archive: str, generation: str | None, suite: str, path: str
) -> ServedArchiveFile | None:
    """Return an index file in the form of its name's suffix, or None."""
    form = next((each for each in _ENDINGS if path.endswith(each)), Form.PLAIN)
    given = {"archive": apt_archive, "generation": generation, "suite": suite}
    given |= {"path": path.removesuffix(form), "form": WORD_OF[form]}
    row = conn.execute(_INDEX, given).one_or_none()
    return None if row is None else made(ServedArchiveFile, row, name=path)


def by_hash(
    conn: Connection, apt_archive: str, suite: str, folder: str, sha256: str
) -> ServedArchiveFile | None:
    """Return an index file of any kept generation by its hash, or None."""
    given = {"archive": apt_archive, "suite": suite, "folder": f"{folder}/", "sha256": sha256}
    row = conn.execute(_BY_HASH, given).one_or_none()
    return None if row is None else made(ServedArchiveFile, row, name=sha256, lasting=True)


def pool_file_at(conn: Connection, apt_archive: str, path: str) -> ServedArchiveFile | None:
    """Return a file of the pool, or None."""
    row = conn.execute(_POOL, {"archive": apt_archive, "path": path}).one_or_none()
    return None if row is None else made(ServedArchiveFile, row, name=path, lasting=True)


def pool_list(conn: Connection, apt_archive: str, *, after: str, limit: int) -> list[ArchiveFile]:
    """List the files of packages that are published or still kept, by path."""
    rows = conn.execute(_POOL_LIST, {"archive": apt_archive, "after": after, "limit": limit})
    return [made(ArchiveFile, row) for row in rows]


def dists_list(conn: Connection, apt_archive: str, generation: str) -> Iterator[ArchiveFile]:
    """List all files below ``dists``, in the order in which a copy must write them.

    A file comes before the files that name it: by-hash first, then index files, and InRelease last.
    """
    given = {"archive": apt_archive, "generation": generation}
    rows = conn.execute(_DISTS_LIST, given).all()
    for row in rows:
        if row.publish_by_hash:
            yield _file(row, by_hash_path(row.path, row.sha256))
    for row in rows:
        yield _file(row, row.path + FORM_OF[row.form])
    for row in conn.execute(_RELEASE_LIST, given):
        yield _file(row, row.name)


def _file(row: Row[Any], path: str) -> ArchiveFile:
    return ArchiveFile(f"dists/{row.suite}/{path}", row.sha256, row.size_bytes)
