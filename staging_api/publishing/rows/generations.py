"""SQL statements on generations, and on the row that names the live one.

Every function that writes takes a connection on which `locks.store.guard` has been called in the
same transaction; only `set_pin` needs no lock.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from staging_api.db.engine import plain_connection_of
from staging_api.db.plain_connection import Statements
from staging_api.errors import NotFound
from staging_api.publishing.index_model import IndexFile, ReleaseText, Unlisted
from staging_api.publishing.model import Distribution, Generation, SuiteHold
from staging_api.publishing.rows.indices import layout_name
from staging_api.publishing.rows.mapping import made, moment

_GENERATIONS = """
    SELECT g.*, a.name AS archive
    FROM dists_generations g JOIN apt_archives a ON a.id = g.archive_id
"""
_FIND = text(_GENERATIONS + " WHERE g.id = :id")
_LIST = text(f"""
    {_GENERATIONS}
    WHERE g.archive_id = :archive_id AND (cast(:after AS text) IS NULL OR coalesce(
        g.number < (SELECT b.number FROM dists_generations b
            WHERE b.id = :after AND b.archive_id = :archive_id),
        g.id < :after))
    ORDER BY g.number DESC LIMIT :limit
""")  # noqa: S608 - our own words
_DISTRIBUTION = text("""
    SELECT (f.generation).*, f.archive, f.changed_at, f.changed_by, f.is_live, f.is_head,
        f.hold_rows, f.older
    FROM publisher_distribution(:name) f
""")
# There is no race: only the holder of the publisher's lock assigns numbers to generations.
_NEXT_NUMBER = """
    SELECT coalesce(max(g.number), 0) + 1 AS number
    FROM dists_generations g WHERE g.archive_id = :archive_id
"""
_BEGIN = text(f"""
    INSERT INTO dists_generations (id, archive_id, number, content_number, state, run_id)
    SELECT :id, :archive_id, n.number, n.number, 'building', :run_id FROM ({_NEXT_NUMBER}) n
""")  # noqa: S608 - our own words
_GO_LIVE = text("""
    SELECT publisher_settle(g.number, cast(:shown AS jsonb), cast(:suites AS jsonb))
    FROM publisher_go_live(
        :id, :archive_id, :run_id, :caller, :is_head, :content_number, cast(:holds AS jsonb),
        cast(:closed AS jsonb), cast(:layouts AS jsonb), cast(:files AS jsonb),
        cast(:releases AS jsonb)) AS g (number)
""")
_SETTLE = text("SELECT publisher_settle(:number, cast(:shown AS jsonb), cast(:suites AS jsonb))")
_WENT_LIVE = text(
    "SELECT EXISTS (SELECT FROM dists_generations WHERE id = :id AND live_at IS NOT NULL)"
)
_PIN = text("""
    UPDATE dists_generations
    SET pinned_at = CASE WHEN :pinned THEN clock_timestamp() END,
        pinned_by = CASE WHEN :pinned THEN :caller END
    WHERE id = :id AND state IN ('live', 'retired')
""")
_OVERDUE = text("""
    SELECT EXISTS (SELECT FROM publisher_reapable(:archive_id, :overdue)) AS generations,
        EXISTS (SELECT FROM publisher_removable(:archive_id)) AS packages
""")
_REAP = text("""
    UPDATE dists_generations SET state = 'reaped', reaped_at = clock_timestamp()
    WHERE id IN (SELECT publisher_reapable(:archive_id, :retention))
""")
#: Tidying scans all blocks, so it waits until some have been due for a while.
_TIDY_SHARE = 0.1
_TIDY_SECONDS = 600.0

#: By suite, the values of `dirty_since` and `rebuild_since` when they were read.
SeenMarks = Mapping[int, tuple[datetime | None, datetime | None]]


@dataclass(frozen=True)
class NewGeneration:
    """A generation that is to go live.

    Attributes:
        run_id: id of the run that made it.
        caller: caller on whose behalf it goes live.
        holds: by suite with the packages of an older generation, the number of that generation.
        content_number: number of the generation whose packages all of its suites list; None: its
            own.
        releases: the texts that are new in this generation.
        shown: the packages that it lists, as they were read.
        seen: the marks of the suites that it has, as they were read.
    """

    id: str
    archive_id: int
    run_id: str
    caller: str
    holds: Mapping[int, int]
    content_number: int | None
    releases: Sequence[ReleaseText]
    shown: Sequence[Unlisted]
    seen: SeenMarks


def find_generation(conn: Connection, generation_id: str) -> Generation:
    """Return a generation.

    Raises:
        NotFound: there is no such generation.
    """
    row = conn.execute(_FIND, {"id": generation_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no generation {generation_id}")
    return made(Generation, row)


def list_generations(
    conn: Connection, archive_id: int, *, limit: int, after: str | None
) -> list[Generation]:
    """List generations of an archive, newest first; if `after` is given, only older ones.

    The id of no generation of this archive is placed by the time in it.
    """
    given = {"archive_id": archive_id, "limit": limit, "after": after}
    return [made(Generation, row) for row in conn.execute(_LIST, given)]


def find_distribution(conn: Statements, apt_archive: str) -> Distribution | None:
    """Return the distribution of an archive; None before its first generation."""
    rows = conn.execute(_DISTRIBUTION, {"name": apt_archive}).all()
    if not rows:
        return None
    live, head = (
        next(made(Generation, row) for row in rows if getattr(row, which))
        for which in ("is_live", "is_head")
    )
    held = tuple(made(SuiteHold, row, held_at=moment(row["held_at"])) for row in rows[0].hold_rows)
    older = {int(suite_id): number for suite_id, number in (rows[0].older or {}).items()}
    return made(Distribution, rows[0], live=live, head=head, held=held, older=older)


def begin_generation(
    conn: Connection, generation_id: str, archive_id: int, run_id: str | None
) -> None:
    """Add a generation that clients do not see yet."""
    conn.execute(_BEGIN, {"id": generation_id, "archive_id": archive_id, "run_id": run_id})


def go_live(
    conn: Connection, new: NewGeneration, closed: Sequence[IndexFile], opened: Sequence[IndexFile]
) -> None:
    """Make a generation live when this transaction commits, and clear the marks of what it shows.

    Args:
        conn: a transaction of the lock's holder.
        new: the generation, and its new Releases.
        closed: index files that are no longer in this generation.
        opened: index files that are new in this generation.
    """
    # An index file taken over from an older generation already has its layout.
    made_now = {f.layout: f.blocks for f in opened if f.blocks or f.layout == layout_name(())}
    given = {
        "id": new.id,
        "archive_id": new.archive_id,
        "run_id": new.run_id,
        "caller": new.caller,
        "is_head": not new.holds,
        "content_number": new.content_number,
        "holds": json.dumps(new.holds),
        "closed": json.dumps([_named(each) for each in closed]),
        "layouts": json.dumps([{"sha256": n, "blocks": b} for n, b in made_now.items()]),
        "files": json.dumps([_row(each, but="blocks") for each in opened]),
        "releases": json.dumps([_release(each) for each in new.releases]),
        **_marks(new.shown, new.seen),
    }
    plain_connection_of(conn).execute(_GO_LIVE, given)


def settle(conn: Connection, number: int, shown: Sequence[Unlisted], seen: SeenMarks) -> None:
    """Clear the marks of packages and suites, unless they changed again since they were read.

    Args:
        conn: a transaction of the lock's holder.
        number: number of the generation that shows them as they were read.
        shown: the packages.
        seen: by suite, its `dirty_since` and its `rebuild_since`.
    """
    conn.execute(_SETTLE, {"number": number, **_marks(shown, seen)})


def went_live(conn: Connection, generation_id: str) -> bool:
    """Return whether a generation is or has been live."""
    return bool(conn.execute(_WENT_LIVE, {"id": generation_id}).scalar_one())


def set_pin(conn: Connection, generation_id: str, caller: str, *, pinned: bool) -> bool:
    """Pin or unpin a generation; return False if it is no longer kept."""
    given: dict[str, Any] = {"id": generation_id, "caller": caller, "pinned": pinned}
    return conn.execute(_PIN, given).rowcount == 1


def overdue(conn: Statements, archive_id: int, retention: float) -> tuple[bool, bool]:
    """Return whether there is something to tidy.

    Returns:
        Whether a generation could have been reaped for a while; and whether a package with an
        expired quarantine is listed in no kept generation.
    """
    grace = min(retention * _TIDY_SHARE, _TIDY_SECONDS)
    given = {"archive_id": archive_id, "overdue": retention + grace}
    row = plain_connection_of(conn).execute(_OVERDUE, given).one()
    return row.generations, row.packages


def reap_generations(conn: Connection, archive_id: int, retention: float) -> int:
    """Reap generations that are old enough and not pinned; return their number."""
    given = {"archive_id": archive_id, "retention": retention}
    return conn.execute(_REAP, given).rowcount


def _marks(shown: Sequence[Unlisted], seen: SeenMarks) -> dict[str, str]:
    packages = [{"id": p.id, "since": p.since.isoformat(), "shown": p.shown} for p in shown]
    suites = [
        {"id": suite_id, "dirty": _iso(dirty), "rebuild": _iso(rebuild)}
        for suite_id, (dirty, rebuild) in seen.items()
    ]
    return {"shown": json.dumps(packages), "suites": json.dumps(suites)}


def _named(file: IndexFile) -> dict[str, Any]:
    return {"suite_id": file.suite_id, "path": file.path, "form": file.form}


def _row(file: IndexFile, but: str) -> dict[str, Any]:
    return {name: value for name, value in vars(file).items() if name != but}


def _release(text: ReleaseText) -> dict[str, Any]:
    times = {name: _iso(getattr(text, name)) for name in ("dated_at", "valid_until", "modified_at")}
    # base64, because JSON has no bytes; PostgreSQL decodes it.
    return {**vars(text), **times, "content": base64.b64encode(text.content).decode()}


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
