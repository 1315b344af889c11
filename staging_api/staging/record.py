"""The record of one staging: its events in order, and the check of their chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from ulid import ULID

from staging_api.db.engine import Database
from staging_api.paging import Page, page_of
from staging_api.staging.audit import Break, verify
from staging_api.staging.model import StagingEvent
from staging_api.staging.repository import event_rows

#: ULIDs count milliseconds.
_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True)
class StagingRecords:
    """The records of single stagings."""

    database: Database

    def events(self, staging_id: str, *, limit: int, after: int = 0) -> Page[StagingEvent]:
        """Return at most `limit` events behind the number `after`, in order."""
        with self.database.connect() as conn:
            return page_of(
                lambda rows: event_rows.events_of(conn, staging_id, after, rows),
                limit,
                lambda event: event.number,
            )

    def breaks(self, staging_id: str) -> Sequence[Break]:
        """Check the chain of one staging; return its breaks, none if it is whole.

        Raises:
            Unavailable: the database cannot be reached.
        """
        made_at = ULID.from_str(staging_id).datetime
        verdict = verify(self.database, made_at, made_at + _TICK)
        return [each for each in verdict.breaks if each.staging_id == staging_id]
