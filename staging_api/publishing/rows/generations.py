"""The rows of generations, and the one that says which of them clients see.

Every function that writes takes a connection that has passed `locks.store.guard` in the same
transaction; `pin` and `unpin` alone need no lock.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from staging_api.errors import NotFound
from staging_api.publishing.model import Distribution, Generation, SuiteHold
from staging_api.publishing.rows.mapping import made
from staging_api.publishing.rows.pool import REMOVABLE

_GENERATIONS = """
    SELECT g.*, a.name AS archive
    FROM dists_generations g JOIN apt_archives a ON a.id = g.archive_id
"""
_FIND = text(_GENERATIONS + " WHERE g.id = :id")
_LIST = text(
    _GENERATIONS
    + " WHERE g.archive_id = :archive_id AND g.id < :after ORDER BY g.id DESC LIMIT :limit"
)
_DISTRIBUTION = text("""
    SELECT g.*, a.name AS archive, d.changed_at, d.changed_by,
        g.id = d.live_generation_id AS is_live, g.id = d.head_generation_id AS is_head
    FROM apt_archives a
    JOIN distributions d ON d.archive_id = a.id
    JOIN dists_generations g ON g.id IN (d.live_generation_id, d.head_generation_id)
    WHERE a.name = :name
""")
_NEXT_NUMBER = """
    SELECT coalesce(max(g.number), 0) + 1 AS number
    FROM dists_generations g WHERE g.archive_id = :archive_id
"""
_BEGIN = text(f"""
    INSERT INTO dists_generations (id, archive_id, number, content_number, state, run_id)
    SELECT :id, :archive_id, n.number, n.number, 'building', :run_id FROM ({_NEXT_NUMBER}) n
""")  # noqa: S608 - our own words
# An archive has one live generation, so the new one is written when the old ones have been counted.
# Its row is there already if there are hooks, which may look at it.
_GO_LIVE = text(f"""
    WITH retired AS (
        UPDATE dists_generations SET state = 'retired', retired_at = clock_timestamp()
        WHERE archive_id = :archive_id AND state = 'live' RETURNING id
    ), live AS (
        INSERT INTO dists_generations AS g (
            id, archive_id, number, content_number, state, run_id, live_at)
        SELECT :id, :archive_id, n.number, coalesce(:content_number, n.number), 'live', :run_id,
            clock_timestamp()
        FROM ({_NEXT_NUMBER}) n, (SELECT count(*) FROM retired) r
        ON CONFLICT (id) DO UPDATE SET state = 'live', live_at = clock_timestamp(),
            content_number = coalesce(:content_number, g.number)
        WHERE g.state = 'building'
        RETURNING number
    )
    INSERT INTO distributions AS d (
        archive_id, live_generation_id, head_generation_id, changed_by)
    SELECT :archive_id, :id, :id, :caller FROM live
    ON CONFLICT (archive_id) DO UPDATE
    SET live_generation_id = :id, changed_at = clock_timestamp(), changed_by = :caller,
        head_generation_id = CASE WHEN :is_head THEN :id ELSE d.head_generation_id END
    RETURNING (SELECT number FROM live)
""")  # noqa: S608 - our own words
_HOLDS = text("""
    SELECT h.*, s.name AS suite FROM suite_holds h JOIN suites s ON s.id = h.suite_id
    WHERE s.archive_id = :archive_id ORDER BY s.name
""")
# What each suite of a generation lists: mostly its own.
_CONTENTS = text("""
    SELECT s.id, coalesce(h.content_number, g.content_number) AS number
    FROM dists_generations g JOIN suites s ON s.archive_id = g.archive_id
    LEFT JOIN generation_holds h ON h.generation_id = g.id AND h.suite_id = s.id
    WHERE g.id = :id
""")
_KEEP_HOLDS = text("""
    INSERT INTO generation_holds (generation_id, suite_id, content_number)
    SELECT :id, h.suite_id, h.number
    FROM unnest(cast(:suites AS int[]), cast(:numbers AS bigint[])) AS h (suite_id, number)
""")
_HOLD = text("""
    INSERT INTO suite_holds AS h (suite_id, generation_id, content_number, held_by, reason)
    SELECT n.suite_id, :generation_id, n.number, :caller, :reason
    FROM unnest(cast(:suites AS int[]), cast(:numbers AS bigint[])) AS n (suite_id, number)
    ON CONFLICT (suite_id) DO UPDATE
    SET generation_id = excluded.generation_id, content_number = excluded.content_number,
        held_at = clock_timestamp(), held_by = excluded.held_by, reason = excluded.reason
""")
_CLEAR_DIRTY = text("""
    UPDATE suites s
    SET dirty_since = CASE WHEN s.dirty_since = d.dirty THEN NULL ELSE s.dirty_since END,
        rebuild_since = CASE WHEN s.rebuild_since = d.rebuild THEN NULL ELSE s.rebuild_since END
    FROM unnest(
        cast(:ids AS int[]), cast(:dirty AS timestamptz[]), cast(:rebuild AS timestamptz[])
    ) AS d (id, dirty, rebuild)
    WHERE s.id = d.id AND (s.dirty_since = d.dirty OR s.rebuild_since = d.rebuild)
""")
_PIN = text("""
    UPDATE dists_generations
    SET pinned_at = CASE WHEN :pinned THEN clock_timestamp() END,
        pinned_by = CASE WHEN :pinned THEN :caller END
    WHERE id = :id AND state IN ('live', 'retired')
""")
# Nor the newest without a hold: it is what its suites went back from.
_REAPABLE = """
    g.archive_id = :archive_id AND g.state = 'retired' AND g.pinned_at IS NULL
    AND NOT EXISTS (SELECT FROM distributions d WHERE d.head_generation_id = g.id)
    AND g.retired_at + make_interval(secs => :retention) < clock_timestamp()
"""
_OVERDUE = text(f"""
    SELECT EXISTS (
        SELECT FROM dists_generations g
        WHERE {_REAPABLE} AND g.retired_at + make_interval(secs => :retention + :grace)
            < clock_timestamp()) AS generations,
        EXISTS (SELECT FROM package_publications p, suites s WHERE {REMOVABLE}) AS packages
""")  # noqa: S608 - our own words
_REAP = text(f"""
    UPDATE dists_generations g SET state = 'reaped', reaped_at = clock_timestamp()
    WHERE {_REAPABLE}
""")  # noqa: S608 - our own words
_AFTER_ALL = "~"  # sorts behind every ULID


def find_generation(conn: Connection, generation_id: str) -> Generation:
    """Return one generation.

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
    """List generations of an archive, newest first."""
    given = {"archive_id": archive_id, "limit": limit, "after": after or _AFTER_ALL}
    return [made(Generation, row) for row in conn.execute(_LIST, given)]


def find_distribution(conn: Connection, apt_archive: str) -> Distribution | None:
    """Return what clients of an archive see; None before its first generation."""
    rows = conn.execute(_DISTRIBUTION, {"name": apt_archive}).all()
    if not rows:
        return None
    live, head = (
        next(made(Generation, row) for row in rows if getattr(row, which))
        for which in ("is_live", "is_head")
    )
    holds = conn.execute(_HOLDS, {"archive_id": rows[0].archive_id})
    held = tuple(made(SuiteHold, row) for row in holds)
    return made(Distribution, rows[0], live=live, head=head, held=held)


def begin_generation(
    conn: Connection, generation_id: str, archive_id: int, run_id: str | None
) -> None:
    """Begin a generation that clients do not see yet."""
    conn.execute(_BEGIN, {"id": generation_id, "archive_id": archive_id, "run_id": run_id})


def go_live(
    conn: Connection,
    generation_id: str,
    archive_id: int,
    caller: str,
    *,
    is_head: bool,
    run_id: str | None,
    content_number: int | None = None,
) -> int:
    """Make a generation live from this transaction's commit on; return its number.

    Args:
        is_head: whether no suite is held in it.
        content_number: of the one generation whose packages all of its suites list; None for its
            own.
    """
    given = {"archive_id": archive_id, "id": generation_id, "caller": caller, "is_head": is_head}
    given |= {"run_id": run_id, "content_number": content_number}
    return int(conn.execute(_GO_LIVE, given).scalar_one())


def clear_dirty(
    conn: Connection, seen: Mapping[int, tuple[datetime | None, datetime | None]]
) -> None:
    """Mark suites as clean, unless they changed again since they were read.

    Args:
        seen: by suite, its `dirty_since` and its `rebuild_since`.
    """
    if seen:
        dirty, rebuild = zip(*seen.values(), strict=True)
        given = {"ids": list(seen), "dirty": list(dirty), "rebuild": list(rebuild)}
        conn.execute(_CLEAR_DIRTY, given)


def contents_of(conn: Connection, generation_id: str) -> dict[int, int]:
    """Return, by suite, the number of the generation whose packages this one lists."""
    return {row.id: row.number for row in conn.execute(_CONTENTS, {"id": generation_id})}


def keep_holds(conn: Connection, generation_id: str, contents: Mapping[int, int]) -> None:
    """Note which suites of a new generation list older packages, by the number of their content."""
    if contents:
        given: dict[str, Any] = {"id": generation_id, "suites": list(contents)}
        conn.execute(_KEEP_HOLDS, {**given, "numbers": list(contents.values())})


def hold_suites(
    conn: Connection, contents: Mapping[int, int], generation_id: str, caller: str, reason: str
) -> None:
    """Let suites show the packages of a generation until they are lifted.

    Args:
        contents: by suite, the number of its content in that generation.
    """
    given: dict[str, Any] = {"suites": list(contents), "numbers": list(contents.values())}
    given |= {"generation_id": generation_id, "caller": caller, "reason": reason}
    conn.execute(_HOLD, given)


def set_pin(conn: Connection, generation_id: str, caller: str, *, pinned: bool) -> bool:
    """Pin or unpin a generation; return False if it is not kept any more."""
    given: dict[str, Any] = {"id": generation_id, "caller": caller, "pinned": pinned}
    return conn.execute(_PIN, given).rowcount == 1


def overdue(conn: Connection, archive_id: int, retention: float, grace: float) -> tuple[bool, bool]:
    """Return whether there is something to tidy.

    Returns:
        whether a generation could have been reaped `grace` seconds ago; and whether a package whose
        time is over is listed by none that is kept.
    """
    given = {"archive_id": archive_id, "retention": retention, "grace": grace}
    row = conn.execute(_OVERDUE, given).one()
    return row.generations, row.packages


def reap_generations(conn: Connection, archive_id: int, retention: float) -> int:
    """Reap generations that are old enough and not pinned; return how many."""
    given = {"archive_id": archive_id, "retention": retention}
    return conn.execute(_REAP, given).rowcount
