"""Follow one staging: its events as they happen, its progress in between.

What if the process dies, or the reader goes away? Nothing is lost: the events are rows, and a
reader that reconnects sends the number of its last event.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass

from staging_api.clients import ALWAYS_CONNECTED, Client
from staging_api.db.engine import Database
from staging_api.staging.model import Staging, StagingEvent
from staging_api.staging.repository import event_rows, reading
from staging_api.staging.watch import Watch

#: Interval of signs of life. One is also sent when the reader has closed its half of the
#: connection: if the whole connection is closed, the write fails, and the next wait ends at once.
KEEP_ALIVE_SECONDS = 15.0
_EVENTS_AT_ONCE = 500


@dataclass(frozen=True)
class EventStream:
    """The events of stagings, for readers that follow one."""

    database: Database
    watch: Watch

    def follow(
        self, staging_id: str, after: int, seconds: float, client: Client = ALWAYS_CONNECTED
    ) -> Generator[StagingEvent | Staging | None, None, None]:
        """Yield the events after number `after`, until the staging is final.

        Ends earlier after `seconds`, or at once if no waiter slot is free; then the reader
        reconnects.

        Yields:
            an event; or the staging, when it changed without one; or None, as a sign of life.

        Raises:
            NotFound: there is no such staging.
            Unavailable: the database cannot be reached.
        """
        deadline = time.monotonic() + seconds
        with self.watch.waiter_slot() as has_slot:
            while True:
                # The staging is read before its events: if it is final, all its events exist by
                # then.
                with self.database.connect() as conn:
                    staging = reading.find(conn, staging_id)
                    events = event_rows.events_of(conn, staging_id, after, _EVENTS_AT_ONCE)
                for event in events:
                    after = event.number
                    yield event
                # A full page: there may be more events, so read on before anything is concluded.
                if len(events) == _EVENTS_AT_ONCE:
                    continue
                if not staging.final and not events:
                    yield staging
                if staging.final or not has_slot:
                    return
                if not (yield from self._wait(staging, deadline, client)):
                    return

    def _wait(
        self, staging: Staging, deadline: float, client: Client
    ) -> Generator[None, None, bool]:
        """Yield signs of life until a staging changes; return whether it did in time."""
        while (left := self._left(deadline)) > 0:
            if self.watch.changed(
                staging.id, staging.version, min(KEEP_ALIVE_SECONDS, left), client
            ):
                return True
            if self._left(deadline) > 0:
                yield None
        return False

    def _left(self, deadline: float) -> float:
        """Return the seconds for which a reader is still served."""
        return 0 if self.watch.closed else deadline - time.monotonic()
