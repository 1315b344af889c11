"""Counts of events by minute: made from the record, and read for intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from staging_api.vocabulary.reports import CountedKind

#: A reader itself counts at most this many minutes that are not in the table yet.
LIVE_MINUTES = 15
# The period that one transaction adds.
_AT_ONCE = timedelta(hours=12)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class CountedState:
    """The number of times that a state was entered in an interval."""

    began_at: datetime
    kind: CountedKind
    state: str
    count: int
    fetched_bytes: int
    staged_bytes: int


@dataclass(frozen=True)
class CountedEvents:
    """Counts, and the time before which each event is counted; None: no event is counted."""

    rows: Sequence[CountedState]
    counted_until: datetime | None


def counts_between(
    conn: Connection, begin: datetime, end: datetime, length: timedelta
) -> CountedEvents:
    """Return the counts of the intervals of this length between two times."""
    (now, until) = conn.execute(_COUNTED_UNTIL).one()
    live_from = now - LIVE_MINUTES * _MINUTE
    lives = until is None or until >= live_from
    given = {
        "begin": begin,
        "end": end,
        "length": length,
        "live": max(until or live_from, begin) if lives else end,
    }
    rows = [CountedState(*row) for row in conn.execute(_BETWEEN, given)]
    return CountedEvents(rows, now if lives and until is not None else until)


def count_minutes(conn: Connection, kept: timedelta, minutes_kept: timedelta) -> bool:
    """Add minutes whose events are all visible; return whether there are more.

    If another session does the same at this moment, this call does nothing. `conn` is in a
    transaction of its own, in READ COMMITTED: the events are read by a later statement than the
    time up to which the record is complete.

    Args:
        kept: how long counts are kept.
        minutes_kept: how long counts of single minutes are kept; then they are merged into hours.
    """
    if not conn.execute(_TRY_LOCK).scalar_one():
        return False
    now, until = conn.execute(_COUNTED_UNTIL).one()
    whole = conn.execute(_WHOLE_UNTIL).scalar_one()
    oldest = _minute(now - kept)
    begin = max(until or conn.execute(_FIRST_EVENT).scalar() or whole, oldest)
    begin = _minute(begin)
    end = _minute(min(whole, begin + _AT_ONCE))
    if end <= begin:
        return False
    conn.execute(_COUNT, {"begin": begin, "end": end})
    conn.execute(_NOTE, {"end": end})
    conn.execute(_MERGE, {"before": _minute(now - minutes_kept)})
    conn.execute(_FORGET, {"oldest": oldest})
    return bool(end + _MINUTE <= whole)


def unfinished(conn: Connection) -> dict[str, int]:
    """Return how many stagings are not finished, by state."""
    return {str(row[0]): int(row[1]) for row in conn.execute(_UNFINISHED)}


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


# Does not wait: minutes that another worker is counting need not be counted twice.
_TRY_LOCK = text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended('staging_api staging_minutes', 0))"
)
_COUNTED_UNTIL = text("""
    SELECT clock_timestamp(), (SELECT counted_until FROM staging_counted)
""")
_WHOLE_UNTIL = text("SELECT staging_events_whole_until()")
_FIRST_EVENT = text("SELECT at FROM staging_events ORDER BY id LIMIT 1")
# An event without a change of state is a new attempt, or a new staging for an artifact.
_COUNTED = """
    SELECT date_bin(CAST('1 minute' AS interval), at, timestamptz 'epoch') AS minute, kind,
        to_state AS state, count(*) AS count,
        CAST(coalesce(sum(CAST(detail ->> 'bytes_done' AS bigint))
            FILTER (WHERE kind = 'artifact' AND to_state = 'staged'), 0) AS bigint)
            AS fetched_bytes,
        CAST(coalesce(sum(CAST(detail ->> 'size_bytes' AS bigint))
            FILTER (WHERE kind = 'artifact' AND to_state = 'staged'), 0) AS bigint)
            AS staged_bytes
    FROM staging_events
    WHERE id >= ulid_floor(CAST(:{begin} AS timestamptz))
      AND id < ulid_floor(CAST(:{end} AS timestamptz))
      AND kind IN ('staging', 'artifact') AND to_state IS DISTINCT FROM from_state
    GROUP BY 1, 2, 3
"""
# A minute is always counted whole, so a second count replaces the first.
_COUNT = text(f"""
    INSERT INTO staging_minutes (minute, kind, state, count, fetched_bytes, staged_bytes)
    {_COUNTED.format(begin="begin", end="end")}
    ON CONFLICT (minute, kind, state) DO UPDATE SET count = excluded.count,
        fetched_bytes = excluded.fetched_bytes, staged_bytes = excluded.staged_bytes
""")
_NOTE = text("""
    INSERT INTO staging_counted (counted_until) VALUES (:end)
    ON CONFLICT (sole) DO UPDATE SET counted_until = excluded.counted_until
""")
# The row of a full hour is that of its first minute: the other 59 are added to it.
_MERGE = text("""
    WITH merged AS (
        DELETE FROM staging_minutes
        WHERE minute < :before
          AND minute <> date_bin(CAST('1 hour' AS interval), minute, timestamptz 'epoch')
        RETURNING date_bin(CAST('1 hour' AS interval), minute, timestamptz 'epoch') AS hour, kind,
            state, count, fetched_bytes, staged_bytes
    )
    INSERT INTO staging_minutes AS m (minute, kind, state, count, fetched_bytes, staged_bytes)
    SELECT hour, kind, state, sum(count), sum(fetched_bytes), sum(staged_bytes)
    FROM merged GROUP BY hour, kind, state
    ON CONFLICT (minute, kind, state) DO UPDATE SET count = m.count + excluded.count,
        fetched_bytes = m.fetched_bytes + excluded.fetched_bytes,
        staged_bytes = m.staged_bytes + excluded.staged_bytes
""")
_FORGET = text("DELETE FROM staging_minutes WHERE minute < :oldest")
_BETWEEN = text(f"""
    SELECT date_bin(CAST(:length AS interval), minute, timestamptz 'epoch'), kind, state,
        CAST(sum(count) AS bigint), CAST(sum(fetched_bytes) AS bigint),
        CAST(sum(staged_bytes) AS bigint)
    FROM (
        SELECT minute, kind, state, count, fetched_bytes, staged_bytes FROM staging_minutes
        WHERE minute >= :begin AND minute < least(:end, CAST(:live AS timestamptz))
        UNION ALL
        {_COUNTED.format(begin="live", end="end")}
    ) m
    GROUP BY 1, 2, 3
""")  # noqa: S608 - constants
_UNFINISHED = text("""
    SELECT state, count(*) AS count FROM stagings WHERE finished_at IS NULL GROUP BY state
""")
