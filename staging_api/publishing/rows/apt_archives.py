"""SQL statements on archives and suites."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Executable, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from staging_api.db.archive_tables import apt_archives, architectures, components, suites
from staging_api.db.plain_connection import Statements
from staging_api.errors import Conflict, Invalid, NotFound
from staging_api.publishing import rules
from staging_api.publishing.model import AptArchive, Suite, SuiteHold
from staging_api.publishing.rows.mapping import made, moment

_FIND = text("SELECT (f.archive).*, f.seen_at, f.suite_rows FROM publisher_archive(:name) f")
_WITH_WORK = text("SELECT publisher_suites_with_work(:archive_id, :signer)")
_EXPIRING = text("""
    SELECT DISTINCT a.name, r.signed_by FROM apt_archives a
    JOIN suites s ON s.archive_id = a.id
    JOIN release_files r ON r.suite_id = s.id AND r.gone_number IS NULL
    WHERE r.name = 'Release'
        AND r.valid_until < clock_timestamp() + make_interval(secs => a.valid_for_seconds / 2.0)
    ORDER BY a.name, r.signed_by
""")
_VALIDITY_LEFT = text("""
    SELECT a.name, min(
        extract(epoch FROM r.valid_until - clock_timestamp())
        / greatest(1, extract(epoch FROM r.valid_until - r.dated_at))) AS share
    FROM release_files r
    JOIN suites s ON s.id = r.suite_id
    JOIN apt_archives a ON a.id = s.archive_id
    WHERE r.gone_number IS NULL AND r.name = 'Release' AND r.valid_until IS NOT NULL
    GROUP BY a.name
""")
# Serialises concurrent requests: the second one sees what the first one has written.
_LOCK = text("SELECT FROM apt_archives WHERE id = :archive_id FOR UPDATE")
_TAKEN = text("""
    SELECT s.name, array(
        SELECT n FROM unnest(s.name || s.aliases) n WHERE n = ANY(:names) ORDER BY n) AS taken
    FROM suites s WHERE s.archive_id = :archive_id AND s.name <> :but
        AND (s.name || s.aliases) && cast(:names AS text[])
    ORDER BY s.name
""")
_PACKAGES_FILES = text("""
    SELECT coalesce(sum(
        (SELECT count(*) FROM components c WHERE c.suite_id = s.id)
        * (SELECT count(*) FROM architectures a WHERE a.suite_id = s.id)), 0)
    FROM suites s WHERE s.archive_id = :archive_id
""")
_SUITE_OF = text("SELECT suite_id FROM uploads WHERE id = :id")
_ARCHIVE_OF = text("SELECT archive_id FROM suites WHERE id = :id")
_LIFT = text("SELECT publisher_lift(:suites, :caller)")
# Lock suites in the same order as every other transaction.
_MARK_DIRTY = text("""
    UPDATE suites SET dirty_since = clock_timestamp()
    WHERE id IN (
        SELECT id FROM suites WHERE id = ANY(:suites) ORDER BY id FOR NO KEY UPDATE)
""")


def find_apt_archive(conn: Statements, name: str) -> AptArchive:
    """Return one archive with its suites.

    Raises:
        NotFound: there is no such archive.
    """
    row = conn.execute(_FIND, {"name": name}).one_or_none()
    if row is None:
        raise NotFound(f"there is no archive {name}")
    return made(AptArchive, row, suites=tuple(map(_suite, row.suite_rows)))


def suites_with_work(conn: Statements, archive_id: int, signer: str | None) -> set[int]:
    """Return the suites whose published state is not up to date.

    Args:
        conn: a connection.
        archive_id: id of the archive.
        signer: signer of the Releases, as `ReleaseText.signed_by`; None: any.
    """
    given = {"archive_id": archive_id, "signer": signer}
    return set(conn.execute(_WITH_WORK, given).scalars())


def expiring_apt_archives(conn: Connection) -> dict[str, set[str | None]]:
    """Return archives with a Release whose validity is half over, with the Releases' signers."""
    signers: dict[str, set[str | None]] = {}
    for row in conn.execute(_EXPIRING):
        signers.setdefault(row.name, set()).add(row.signed_by)
    return signers


def validity_left(conn: Connection) -> dict[str, float]:
    """Return by archive the smallest remaining share of a Release's validity; below 0: expired."""
    return {row.name: float(row.share) for row in conn.execute(_VALIDITY_LEFT)}


def lift(conn: Connection, suite_ids: Sequence[int], caller: str) -> list[str]:
    """Lift the holds of these suites, and record the caller; return the names of those held."""
    return sorted(conn.execute(_LIFT, {"suites": list(suite_ids), "caller": caller}).scalars())


def lift_for(conn: Connection, upload_id: str, caller: str) -> list[str]:
    """Lift the hold of an upload's suite; return its name if it was held."""
    suite_id = conn.execute(_SUITE_OF, {"id": upload_id}).scalar_one()
    return lift(conn, [suite_id], caller)


def apt_archive_names(conn: Connection) -> list[str]:
    """Return the names of all archives, sorted."""
    return list(conn.execute(select(apt_archives.c.name).order_by(apt_archives.c.name)).scalars())


def add_apt_archive(conn: Connection, values: Mapping[str, Any]) -> None:
    """Add an archive, without suites.

    Raises:
        Conflict: the name is taken.
        Invalid: the values contradict each other.
    """
    row = upsert(apt_archives).values(**values).on_conflict_do_nothing()
    if _written(conn, row) != 1:
        raise Conflict(f"there is an archive {values['name']} already")


def change_apt_archive(
    conn: Connection, apt_archive: AptArchive, values: Mapping[str, Any]
) -> None:
    """Change the settings of an archive; its suites become dirty.

    Raises:
        Invalid: the new values contradict each other.
    """
    if values:
        _written(
            conn, update(apt_archives).where(apt_archives.c.id == apt_archive.id).values(**values)
        )
    mark_dirty(conn, [suite.id for suite in apt_archive.suites])


def add_suite(conn: Connection, apt_archive: AptArchive, values: Mapping[str, Any]) -> None:
    """Add a suite; it is dirty, because it has not been published yet.

    Raises:
        Conflict: one of its names is taken.
        Invalid: the archive would have too many index files.
    """
    names = {values["name"], *values.get("aliases", ())}
    conn.execute(_LOCK, {"archive_id": apt_archive.id})
    _refuse_taken(conn, apt_archive.id, names, but="")
    row = insert(suites).values(
        archive_id=apt_archive.id, dirty_since=func.clock_timestamp(), **_own(values)
    )
    with _bounded(conn, apt_archive.id):
        _set_parts(conn, conn.execute(row.returning(suites.c.id)).scalar_one(), values)


def change_suite(conn: Connection, suite: Suite, values: Mapping[str, Any]) -> None:
    """Change a suite; it becomes dirty.

    Raises:
        Conflict: one of its names is taken.
        Invalid: the archive would have too many index files.
    """
    archive_id = conn.execute(_ARCHIVE_OF, {"id": suite.id}).scalar_one()
    conn.execute(_LOCK, {"archive_id": archive_id})
    if "aliases" in values:
        _refuse_taken(conn, archive_id, set(values["aliases"]), but=suite.name)
    own = {**_own(values), "dirty_since": func.clock_timestamp()}
    if {"components", "architectures"} & values.keys():
        # A package that was needed on a removed architecture may now be superseded.
        own["rebuild_since"] = func.clock_timestamp()
    conn.execute(update(suites).where(suites.c.id == suite.id).values(**own))
    with _bounded(conn, archive_id):
        _set_parts(conn, suite.id, values)


def mark_dirty(conn: Connection, suite_ids: Sequence[int]) -> None:
    """Mark these suites as having something to publish."""
    conn.execute(_MARK_DIRTY, {"suites": list(suite_ids)})


def _suite(row: Mapping[str, Any]) -> Suite:
    times = {name: moment(row[name]) for name in ("dirty_since", "rebuild_since")}
    held = row["held"]
    if held is not None:
        held = made(SuiteHold, held, suite=row["name"], held_at=moment(held["held_at"]))
    return made(Suite, row, **times, held=held)


def _written(conn: Connection, statement: Executable) -> int:
    try:
        return conn.execute(statement).rowcount
    except IntegrityError as error:
        # PostgreSQL's message has the name of the CHECK constraint in every language.
        if "advertised_is_published" in str(error.orig):
            raise Invalid.field("advertise_by_hash", "goes with publish_by_hash only") from None
        raise


def _refuse_taken(conn: Connection, archive_id: int, names: set[str], *, but: str) -> None:
    given = {"archive_id": archive_id, "names": sorted(names), "but": but}
    for row in conn.execute(_TAKEN, given):
        raise Conflict(f"the suite {row.name} is called {row.taken} already")


@contextmanager
def _bounded(conn: Connection, archive_id: int) -> Iterator[None]:
    """Refuse a change that gives an archive more index files than can be published."""
    before = conn.execute(_PACKAGES_FILES, {"archive_id": archive_id}).scalar_one()
    yield
    after = conn.execute(_PACKAGES_FILES, {"archive_id": archive_id}).scalar_one()
    if after > max(before, rules.MAX_PACKAGES_FILES):
        raise Invalid.field(
            "components",
            f"components times architectures, of all suites of an archive together, may be"
            f" {rules.MAX_PACKAGES_FILES} at most, and would be {after}",
        )


def _own(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k not in ("components", "architectures")}


def _set_parts(conn: Connection, suite_id: int, values: Mapping[str, Any]) -> None:
    if "components" in values:
        conn.execute(delete(components).where(components.c.suite_id == suite_id))
        named = enumerate(values["components"])
        rows = [{"suite_id": suite_id, "position": place, "name": name} for place, name in named]
        conn.execute(insert(components), rows)
    if "architectures" in values:
        conn.execute(delete(architectures).where(architectures.c.suite_id == suite_id))
        rows = [{"suite_id": suite_id, "name": name} for name in values["architectures"]]
        conn.execute(insert(architectures), rows)
