"""SQL statements on suites with the packages of an older generation: held, or not yet rebuilt.

Every function that writes takes a connection on which `locks.store.guard` has been called in the
same transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from staging_api.publishing.model import Generation

# The generation whose packages each suite of a generation lists: usually its own.
_CONTENTS = text("""
    SELECT s.id, coalesce(h.content_number, g.content_number) AS number
    FROM dists_generations g JOIN suites s ON s.archive_id = g.archive_id
    LEFT JOIN generation_holds h ON h.generation_id = g.id AND h.suite_id = s.id
    WHERE g.id = :id
""")
_NO_LONGER_OLDER = text(
    "DELETE FROM generation_holds WHERE generation_id = :id AND suite_id = ANY(:suites)"
)
_OF_ITSELF = text("UPDATE dists_generations SET content_number = number WHERE id = :id")
_IS_HEAD = text("""
    UPDATE distributions d SET head_generation_id = d.live_generation_id
    WHERE d.live_generation_id = :id AND d.head_generation_id <> :id
        AND NOT EXISTS (SELECT FROM generation_holds o WHERE o.generation_id = :id)
        AND NOT EXISTS (
            SELECT FROM suites s JOIN suite_holds h ON h.suite_id = s.id
            WHERE s.archive_id = d.archive_id)
""")
_HOLD = text("""
    INSERT INTO suite_holds AS h (suite_id, generation_id, content_number, held_by, reason)
    SELECT n.suite_id, :generation_id, n.number, :caller, :reason
    FROM unnest(cast(:suites AS int[]), cast(:numbers AS bigint[])) AS n (suite_id, number)
    ORDER BY n.suite_id
    ON CONFLICT (suite_id) DO UPDATE
    SET generation_id = excluded.generation_id, content_number = excluded.content_number,
        held_at = clock_timestamp(), held_by = excluded.held_by, reason = excluded.reason
""")


def settle_lifted(conn: Connection, live: Generation, suite_ids: Sequence[int]) -> None:
    """Record that the live generation has the current index files of these unheld suites.

    The live generation becomes the head if this is true of all suites.

    Args:
        conn: a transaction of the lock's holder, in which `settle` was called.
        live: the live generation.
        suite_ids: suites whose index files were just built, and equal those of the generation.
    """
    given = {"id": live.id, "suites": list(suite_ids)}
    if conn.execute(_NO_LONGER_OLDER, given).rowcount:
        conn.execute(_OF_ITSELF, given)
    conn.execute(_IS_HEAD, given)


def contents_of(conn: Connection, generation_id: str) -> dict[int, int]:
    """Return by suite the number of the generation whose packages this one lists."""
    return {row.id: row.number for row in conn.execute(_CONTENTS, {"id": generation_id})}


def hold_suites(
    conn: Connection, contents: Mapping[int, int], generation_id: str, caller: str, reason: str
) -> None:
    """Make suites show the packages of a generation until their holds are lifted.

    Args:
        conn: a transaction of the lock's holder.
        contents: by suite, the number of its content in that generation.
        generation_id: id of that generation.
        caller: caller of the hold.
        reason: reason of the hold.
    """
    given: dict[str, Any] = {"suites": list(contents), "numbers": list(contents.values())}
    given |= {"generation_id": generation_id, "caller": caller, "reason": reason}
    conn.execute(_HOLD, given)
