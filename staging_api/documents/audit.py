"""Tamper check of the record of document changes.

The events of all documents form one hash chain, guarded like the record of stagings: a trigger
refuses changes, each event has the digest of the previous one, and revisions and commits are
compared with their events. A role with write access to everything could compute a new chain, or
delete the newest events together with the rows they describe: to detect that, store the `head`
elsewhere.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from staging_api.db.engine import Database
from staging_api.documents.rows import event_rows

#: The columns covered by the digest of an event, in order.
DIGESTED = (
    *("number", "id", "at", "kind", "revision", "name", "actor", "holder", "reference_id"),
    *("lock_id", "fence", "reason", "detail", "previous_digest"),
)


@dataclass(frozen=True)
class DocumentBreak:
    """A contradiction in the record.

    Attributes:
        number: number of the event; None if the contradiction is not in one single event.
    """

    revision: int
    number: int | None
    what: str


@dataclass(frozen=True)
class DocumentVerdict:
    """Result of a check of the record: number of events checked, and breaks found.

    Attributes:
        head: digest of the newest event before `until`; empty: there is none.
    """

    events: int
    head: str
    breaks: tuple[DocumentBreak, ...]


def verify_documents(database: Database, until: datetime | None = None) -> DocumentVerdict:
    """Check all events of documents; `until` limits only the head (None: the newest event).

    Raises:
        Unavailable: the database cannot be reached.
    """
    count, head = 0, ""
    # Number and digest of the previous event.
    previous: tuple[int, str | None] = (0, None)
    breaks: list[DocumentBreak] = []
    with database.begin() as conn:
        for row in event_rows.events(conn, until):
            what = _wrong(row, *previous)
            if what is not None:
                breaks.append(DocumentBreak(row.revision, row.number, what))
            count, previous = count + 1, (row.number, row.digest)
            head = row.digest if row.before_end else head
        breaks += [
            DocumentBreak(number, None, what) for number, what in event_rows.contradictions(conn)
        ]
    return DocumentVerdict(count, head, tuple(breaks))


def digest_of(row: Row[Any]) -> str:
    """Compute the digest that an event must have."""
    columns = [getattr(row, name) for name in DIGESTED]
    return hashlib.sha256(json.dumps(columns, ensure_ascii=False).encode()).hexdigest()


def _wrong(row: Row[Any], number: int, digest: str | None) -> str | None:
    if row.number != number + 1:
        return f"event {number + 1} is gone"
    if row.previous_digest != digest:
        return "it does not follow from the event before it"
    if row.digest != digest_of(row):
        return "it was altered"
    return None
