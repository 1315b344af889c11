"""The record of events of all stagings, read page by page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from staging_api.db.engine import Database
from staging_api.paging import Page
from staging_api.staging.model import StagingEvent
from staging_api.staging.repository import event_rows


@dataclass(frozen=True)
class EventLog:
    """The events of all stagings."""

    database: Database

    def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        since: datetime | None = None,
        equal: Mapping[str, str] | None = None,
    ) -> Page[StagingEvent]:
        """List events behind the id `after`, oldest first.

        A reader that continues with `next`, or with the id of its last event, gets each event once,
        also those of transactions that committed out of order. With filters, a page may have few
        events or none and still have a next page.

        Args:
            since: only events at or after this time.
            equal: only events whose columns have these values.
        """
        with self.database.connect() as conn:
            events, following = event_rows.events_after(
                conn, limit=limit, after=after, since=since, equal=equal
            )
        return Page(events, following)
