"""Verify that the record of events was not altered, by computing every digest again.

The record is protected in three steps. A trigger refuses to change or remove a row. A change that
bypasses the trigger breaks a chain: an event has the digest of the one before it, its staging has
the count and digest of the newest; `verify` finds the break. A role that may write everywhere could
compute a whole chain again: against that, keep the `head` of a `verify` in another place, and
compare it with the head of a later one with the same `until`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Row

from staging_api.db.engine import Database
from staging_api.staging.repository import event_rows

#: The columns covered by the digest of an event, in order.
DIGESTED = (
    *("id", "staging_id", "number", "at", "kind", "artifact_id", "name", "from_state", "to_state"),
    *("actor", "holder", "lock_id", "fence", "code", "message", "detail", "previous_digest"),
)


@dataclass(frozen=True)
class Break:
    """A contradiction in the record; `number` is None if no single event causes it."""

    staging_id: str
    number: int | None
    what: str


@dataclass(frozen=True)
class AuditVerdict:
    """The result of a check of the record: counts, and the breaks found.

    Attributes:
        head: sha256 of the newest digest before the end of the time, of every staging.
    """

    stagings: int
    events: int
    head: str
    breaks: tuple[Break, ...]


def verify(
    database: Database, since: datetime | None = None, until: datetime | None = None
) -> AuditVerdict:
    """Check the events of all stagings that were made between two times (None: no bound).

    Raises:
        Unavailable: the database cannot be reached.
    """
    counted = events = 0
    head = hashlib.sha256()
    breaks: list[Break] = []
    with database.begin() as conn:
        for _, rows in groupby(event_rows.chains(conn, since, until), key=lambda row: row.chain):
            chain = list(rows)
            counted += 1
            events += sum(row.id is not None for row in chain)
            head.update(_seal(chain).encode())
            breaks += _breaks(chain)
        for staging_id, artifact_id in event_rows.contradictions(conn, since, until):
            what = f"artifact {artifact_id} is not as its newest event says"
            breaks.append(Break(staging_id, None, what))
    return AuditVerdict(counted, events, head.hexdigest(), tuple(breaks))


def digest_of(row: Row[Any]) -> str:
    """Return the digest that an event must have."""
    columns = [getattr(row, name) for name in DIGESTED]
    return hashlib.sha256(json.dumps(columns, ensure_ascii=False).encode()).hexdigest()


def _seal(chain: list[Row[Any]]) -> str:
    newest = next((row for row in reversed(chain) if row.id is not None and row.before_end), None)
    return f"{chain[0].chain} {newest.number if newest else 0} {newest.digest if newest else ''}\n"


def _breaks(chain: list[Row[Any]]) -> Iterator[Break]:
    """Yield the contradictions in the events of one staging."""
    staging, events = chain[0], [row for row in chain if row.id is not None]
    if staging.staging is None:
        yield Break(staging.chain, None, "the row of the staging is missing, but its events exist")
        return
    yield from _of_links(events, staging.events_dropped)
    number, digest = staging.events_dropped, staging.events_digest
    if events:
        number, digest = events[-1].number, events[-1].digest
    if staging.events_count == 0:
        yield Break(staging.chain, None, "it has no event, not even that it was made")
    elif (number, digest) != (staging.events_count, staging.events_digest):
        yield Break(staging.chain, None, "its newest events differ from those that it counted")
    states = [row.to_state for row in events if row.kind == "staging"]
    if states and states[-1] != staging.state:
        yield Break(staging.chain, None, f"it is {staging.state}, its events say {states[-1]}")


def _of_links(events: Iterable[Row[Any]], dropped: int) -> Iterator[Break]:
    # The first remaining event has no predecessor here if earlier months were dropped.
    number, previous = dropped, None
    for row in events:
        if row.number != number + 1:
            gap = f"event {number + 1} is gone" if row.number > number else "a second branch"
            yield Break(row.chain, row.number, gap)
        elif previous is not None and row.previous_digest != previous:
            yield Break(row.chain, row.number, "it does not follow from the event before it")
        if digest_of(row) != row.digest:
            yield Break(row.chain, row.number, "it was altered")
        number, previous = row.number, row.digest
