"""SQL statements for domination: candidates, superseded packages, and removal times of files.

Every function that writes takes a connection on which `locks.store.guard` has been called in the
same transaction.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, text

from staging_api.db.plain_connection import Statements
from staging_api.publishing.domination import PublishedVersion, Supersession
from staging_api.publishing.rows.steps import Writes

_CHANGED = text("SELECT * FROM publisher_candidates(:suites)")
_ALL_BINARIES = text("""
    SELECT p.id, p.package, r.version_key, p.created_at, r.source, r.source_version_key,
        r.architecture, r.installer, r.id AS release
    FROM package_publications p JOIN binary_releases r ON r.id = p.binary_release_id
    WHERE p.suite_id = :suite AND p.state = 'published'
        AND publisher_offers(p.suite_id, p.component, r.architecture)
""")
_ALL_SOURCES = text("""
    SELECT p.id, p.package, r.version_key, p.created_at, r.id AS release
    FROM package_publications p JOIN source_releases r ON r.id = p.source_release_id
    WHERE p.suite_id = :suite AND p.state = 'published'
        AND publisher_offers(p.suite_id, p.component, NULL)
""")
_SUPERSEDE = text("SELECT publisher_supersede(:archive_id, :ids, :bys, :quarantine)")
_HAS_ENDED = text("""
    SELECT EXISTS (
        SELECT FROM suites u JOIN package_publications p ON p.suite_id = u.id
        WHERE u.archive_id = :archive_id
            AND p.ended_at IS NOT NULL AND p.scheduled_deletion_at IS NULL)
""")


@dataclass(frozen=True)
class PackageCandidates:
    """Published packages of a suite, to be compared.

    Attributes:
        decided: ids of the binaries that may be superseded; the others are only compared with them.
    """

    sources: list[PublishedVersion] = field(default_factory=list)
    binaries: list[PublishedVersion] = field(default_factory=list)
    decided: set[str] = field(default_factory=set)


def changed_to_dominate(conn: Statements, suite_ids: Sequence[int]) -> dict[int, PackageCandidates]:
    """Return by suite the packages with changes that are not listed yet, and those to compare with.

    Only packages of components and architectures that the suite has.
    """
    found: defaultdict[int, PackageCandidates] = defaultdict(PackageCandidates)
    for row in conn.execute(_CHANGED, {"suites": list(suite_ids)}):
        candidates = found[row.suite_id]
        if row.architecture is None:
            candidates.sources.append(_source(row))
        else:
            candidates.binaries.append(_binary(row))
            if row.touched:
                candidates.decided.add(str(row.id))
    return found


def all_to_dominate(conn: Statements, suite_id: int) -> PackageCandidates:
    """Return all published packages of a suite, of the components and architectures that it has."""
    given = {"suite": suite_id}
    binaries = [_binary(row) for row in conn.execute(_ALL_BINARIES, given)]
    sources = [_source(row) for row in conn.execute(_ALL_SOURCES, given)]
    return PackageCandidates(sources, binaries, {each.id for each in binaries})


def supersede(
    conn: Writes, archive_id: int, superseded: Sequence[Supersession], quarantine_seconds: float
) -> list[str]:
    """Make these publications superseded, and their suites dirty.

    Also set the time from which files may be removed from the pool, for all publications of the
    archive that have ended.

    Returns a note for each publication that clients never saw; the note is added to its upload,
    too.
    """
    ids, bys = [int(each.id) for each in superseded], [int(each.by) for each in superseded]
    given = {"archive_id": archive_id, "ids": ids, "bys": bys, "quarantine": quarantine_seconds}
    return list(conn.execute(_SUPERSEDE, given).scalars())


def has_ended(conn: Statements, archive_id: int) -> bool:
    """Return whether a publication has ended without a removal time for its files."""
    return bool(conn.execute(_HAS_ENDED, {"archive_id": archive_id}).scalar_one())


def _source(row: Row[Any]) -> PublishedVersion:
    return _version(row, row.release, "", installer=False)


def _binary(row: Row[Any]) -> PublishedVersion:
    built_from = (row.source, row.source_version_key)
    return _version(row, built_from, row.architecture, installer=row.installer)


def _version(
    row: Row[Any], source_release: Hashable, architecture: str, *, installer: bool
) -> PublishedVersion:
    return PublishedVersion(
        id=str(row.id),
        name=row.package,
        version_key=row.version_key,
        created_at=row.created_at,
        source_release=source_release,
        architecture=architecture,
        installer=installer,
        release=row.release,
    )
