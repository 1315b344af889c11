"""Prove that the record of what happened to documents was not altered.

It is one chain for all documents, guarded as the record of stagings is: a trigger refuses changes,
each event carries the digest of the one before, and revisions and commits are compared with their
events. A role that may write everywhere could compute a whole chain anew, or cut off its newest
part together with the rows of these events: against that, keep the `head` somewhere else.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from staging_api.db.engine import Database
from staging_api.documents.rows import event_rows

#: What the digest of an event is of, in order.
DIGESTED = (
    *("number", "id", "at", "kind", "revision", "name", "actor", "holder", "reference_id"),
    *("lock_id", "fence", "reason", "detail", "previous_digest"),
)


@dataclass(frozen=True)
class DocumentBreak:
    """Where the record contradicts itself.

    Attributes:
        number: of the event; None if it is no single one.
    """

    revision: int
    number: int | None
    what: str


@dataclass(frozen=True)
class DocumentVerdict:
    """The result of a check of the record: what was checked, and the breaks found.

    Attributes:
        head: digest of the newest event before the end of the time; empty: there is none.
    """

    events: int
    head: str
    breaks: tuple[DocumentBreak, ...]


def verify_documents(database: Database, until: datetime | None = None) -> DocumentVerdict:
    """Check all events of documents; only the head is of those before a time (None: of all).

    Raises:
        Unavailable: the database cannot be reached.
    """
    count, head = 0, ""
    # Number and digest of the event before.
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
    """The digest that an event must have."""
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
