"""Rows for domination: candidates, superseded packages, and when their files may leave.

Every function that writes takes a connection that has passed `locks.store.guard` in the same
transaction.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from staging_api.publishing.domination import Published, Superseded

# What a change of some packages can supersede: versions of the same names; and packages for all
# that stayed only for the sake of others of their source release, whatever their names are.
# Whether all are looked at is no parameter: the two need plans of their own.
_CANDIDATES = """
    WITH changed AS MATERIALIZED (
        SELECT DISTINCT p.package FROM package_publications p
        WHERE p.suite_id = :suite AND p.binary_release_id IS NOT NULL AND {which}
    ), touched AS MATERIALIZED (
        SELECT r.archive_id, r.source, r.source_version_key
        FROM package_publications p JOIN binary_releases r ON r.id = p.binary_release_id
        WHERE p.suite_id = :suite AND p.unlisted_since IS NOT NULL
        UNION
        SELECT r.archive_id, r.source, r.source_version_key
        FROM changed c
        JOIN package_publications p ON p.suite_id = :suite AND p.state = 'published'
            AND p.package = c.package
        JOIN binary_releases r ON r.id = p.binary_release_id
    ), named AS MATERIALIZED (
        SELECT package FROM changed
        UNION
        SELECT p.package
        FROM touched t JOIN binary_releases r ON r.archive_id = t.archive_id
            AND r.source = t.source AND r.source_version_key = t.source_version_key
        JOIN package_publications p ON p.binary_release_id = r.id
        WHERE p.suite_id = :suite AND p.state = 'published'
    )
    SELECT p.id, p.package, r.version_key, p.created_at, r.source, r.source_version_key,
        r.architecture, r.installer, r.id AS release, t.source IS NOT NULL AS touched
    FROM named n
    JOIN package_publications p ON p.suite_id = :suite AND p.state = 'published'
        AND p.package = n.package
    JOIN binary_releases r ON r.id = p.binary_release_id
    LEFT JOIN touched t ON t.source = r.source AND t.source_version_key = r.source_version_key
"""
_SOURCE_CANDIDATES = """
    SELECT p.id, p.package, r.version_key, p.created_at, r.id AS release
    FROM (
        SELECT DISTINCT p.package FROM package_publications p
        WHERE p.suite_id = :suite AND p.source_release_id IS NOT NULL AND {which}) c
    JOIN package_publications p ON p.suite_id = :suite AND p.state = 'published'
        AND p.package = c.package
    JOIN source_releases r ON r.id = p.source_release_id
"""
_WHICH = {True: "p.state = 'published'", False: "p.unlisted_since IS NOT NULL"}
_BINARIES = {careful: text(_CANDIDATES.format(which=which)) for careful, which in _WHICH.items()}
_SOURCES = {
    careful: text(_SOURCE_CANDIDATES.format(which=which)) for careful, which in _WHICH.items()
}
_SUPERSEDE = text("""
    WITH superseded AS (
        UPDATE package_publications p
        SET state = 'superseded', superseded_by = s.by, ended_at = clock_timestamp(),
            unlisted_since = clock_timestamp()
        FROM unnest(cast(:ids AS bigint[]), cast(:bys AS bigint[])) AS s (id, by)
        WHERE p.id = s.id AND p.state = 'published'
        RETURNING p.*
    ), dirty AS (
        UPDATE suites SET dirty_since = clock_timestamp()
        WHERE id IN (SELECT suite_id FROM superseded)
    ), unseen AS (
        SELECT s.upload_id, format(
            '%s %s was never offered by %s, which has %s', s.package,
            coalesce(b.version, c.version), u.name, coalesce(nb.version, nc.version)) AS note
        FROM superseded s
        JOIN suites u ON u.id = s.suite_id
        LEFT JOIN binary_releases b ON b.id = s.binary_release_id
        LEFT JOIN source_releases c ON c.id = s.source_release_id
        JOIN package_publications n ON n.id = s.superseded_by
        LEFT JOIN binary_releases nb ON nb.id = n.binary_release_id
        LEFT JOIN source_releases nc ON nc.id = n.source_release_id
        WHERE s.listed_in IS NULL
    ), noted AS (
        UPDATE uploads u SET note = n.note FROM unseen n WHERE u.id = n.upload_id
    )
    SELECT note FROM unseen ORDER BY note
""")
_HAS_ENDED = text("""
    SELECT EXISTS (
        SELECT FROM suites u JOIN package_publications p ON p.suite_id = u.id
        WHERE u.archive_id = :archive_id
            AND p.ended_at IS NOT NULL AND p.scheduled_deletion_at IS NULL)
""")
# A superseded source waits until none of its binaries is left in the suite.
_CONDEMN = text("""
    UPDATE package_publications p
    SET scheduled_deletion_at = CASE
        WHEN p.state = 'deleted' THEN clock_timestamp()
        ELSE clock_timestamp() + make_interval(secs => :quarantine) END
    FROM suites u
    WHERE u.id = p.suite_id AND u.archive_id = :archive_id
        AND p.ended_at IS NOT NULL AND p.scheduled_deletion_at IS NULL
        AND NOT EXISTS (
            SELECT FROM source_releases s
            JOIN binary_releases r ON r.archive_id = s.archive_id AND r.source = s.package
                AND r.source_version_key = s.version_key
            JOIN package_publications b ON b.binary_release_id = r.id
            WHERE s.id = p.source_release_id AND p.state = 'superseded'
                AND b.suite_id = p.suite_id AND b.ended_at IS NULL)
""")


def binaries_to_dominate(
    conn: Connection, suite_id: int, *, careful: bool
) -> tuple[list[Published], set[str]]:
    """Return publications to compare, and the ids of those among them that may be superseded."""
    rows = conn.execute(_BINARIES[careful], {"suite": suite_id}).all()
    found = [
        Published(
            id=str(row.id),
            name=row.package,
            version_key=row.version_key,
            created_at=row.created_at,
            source_release=(row.source, row.source_version_key),
            architecture=row.architecture,
            installer=row.installer,
            release=row.release,
        )
        for row in rows
    ]
    return found, {str(row.id) for row in rows if row.touched or careful}


def sources_to_dominate(conn: Connection, suite_id: int, *, careful: bool) -> list[Published]:
    """Return published sources of which another version changed."""
    rows = conn.execute(_SOURCES[careful], {"suite": suite_id})
    return [
        Published(
            id=str(row.id),
            name=row.package,
            version_key=row.version_key,
            created_at=row.created_at,
            source_release=row.release,
            release=row.release,
        )
        for row in rows
    ]


def supersede(conn: Connection, superseded: Sequence[Superseded]) -> list[str]:
    """Make these publications superseded, and their suites dirty.

    Returns a note for each that clients never saw; its upload gets the note, too.
    """
    ids, bys = [int(each.id) for each in superseded], [int(each.by) for each in superseded]
    return list(conn.execute(_SUPERSEDE, {"ids": ids, "bys": bys}).scalars())


def has_ended(conn: Connection, archive_id: int) -> bool:
    """Return whether a package has ended without a time from which its files may leave."""
    return bool(conn.execute(_HAS_ENDED, {"archive_id": archive_id}).scalar_one())


def condemn(conn: Connection, archive_id: int, quarantine_seconds: float) -> None:
    """Set the time from which the files of what ended may leave the pool."""
    conn.execute(_CONDEMN, {"archive_id": archive_id, "quarantine": quarantine_seconds})
