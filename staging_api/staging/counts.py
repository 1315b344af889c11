"""Counts of stagings and artifacts by the state that they entered, per minute, hour or day.

The counts are made from the record of events, each event once: a step of the workers adds whole
minutes to ``staging_minutes``. A reader adds the newest events itself, at most those of
`count_rows.LIVE_MINUTES`. So the counts follow from the record and cannot contradict it, no
transaction of a staging waits for a counter, and a list never reads more than a few rows a minute.

What if the process dies? A step is one transaction: either the minutes are counted, or not yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from staging_api.db.engine import Database, database_time
from staging_api.staging.repository import count_rows, reading
from staging_api.vocabulary.reports import Interval

LENGTHS: Mapping[Interval, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
#: How long counts are kept; those of single minutes are merged into hours after `MINUTES_KEPT`.
KEPT = timedelta(days=35)
MINUTES_KEPT = timedelta(days=2)


@dataclass
class IntervalCounts:
    """The counts of one interval.

    Attributes:
        stagings, artifacts: how many entered a state, by state.
        fetched_bytes: read from sources by artifacts that were staged.
        staged_bytes: size of these artifacts; bytes that were not fetched were in the store
            already.
    """

    began_at: datetime
    stagings: dict[str, int] = field(default_factory=dict)
    artifacts: dict[str, int] = field(default_factory=dict)
    fetched_bytes: int = 0
    staged_bytes: int = 0


@dataclass(frozen=True)
class CountsPage:
    """Counts of consecutive intervals, the newest first; those without events included.

    Attributes:
        following: the end of the intervals of the next page; None: there is no next page.
        counted_until: events before then are counted; None: no event is counted yet.
        unfinished: number of stagings that are not finished now, by state.
        to_do: number of artifacts that are not settled now, by state.
    """

    items: list[IntervalCounts]
    following: datetime | None
    counted_until: datetime | None
    unfinished: Mapping[str, int]
    to_do: Mapping[str, int]


@dataclass(frozen=True)
class Counts:
    """The counts of events."""

    database: Database

    def page(self, by: Interval, *, limit: int, before: datetime | None = None) -> CountsPage:
        """Return the counts of at most `limit` intervals that end at `before`; None: now."""
        length = LENGTHS[by]
        with self.database.connect() as conn:
            now = database_time(conn)
            end = _floor(min(before or now, now), length)
            # The interval that contains `before`, or now, is included, though it is not complete.
            if before is None or end < before:
                end += length
            oldest = _floor(now - (MINUTES_KEPT if by == "minute" else KEPT), length)
            # Counts of older intervals are deleted, so the page ends at the oldest kept one.
            end = max(end, oldest)
            begin = max(end - limit * length, oldest)
            counted = count_rows.counts_between(conn, begin, end, length)
            unfinished = count_rows.unfinished(conn)
            to_do = {state: count for state, (count, _) in reading.queue(conn).items()}
        found: dict[datetime, IntervalCounts] = {}
        while end > begin:
            end -= length
            found[end] = IntervalCounts(end)
        for row in counted.rows:
            _add(found[row.began_at], row)
        following = begin if begin > oldest else None
        return CountsPage(list(found.values()), following, counted.counted_until, unfinished, to_do)

    def count(self) -> bool:
        """Add whole minutes to the table; return whether there are more to add at once."""
        with self.database.begin() as conn:
            return count_rows.count_minutes(conn, KEPT, MINUTES_KEPT)


def _add(counts: IntervalCounts, row: count_rows.CountedState) -> None:
    if row.kind == "staging":
        counts.stagings[row.state] = row.count
        return
    counts.artifacts[row.state] = row.count
    counts.fetched_bytes += row.fetched_bytes
    counts.staged_bytes += row.staged_bytes


def _floor(moment: datetime, length: timedelta) -> datetime:
    """Return the begin of the interval that contains a moment.

    Intervals are counted from 1970-01-01 UTC, as `date_bin` does in the statements.
    """
    epoch = datetime.fromtimestamp(0, moment.tzinfo)
    return moment - (moment - epoch) % length
