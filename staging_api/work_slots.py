"""Limit of requests in a process that do long work at once, and a queue for the others.

A request that stages occupies its thread for as long as its source takes. So there are fewer slots
for such work than threads, and short requests are always answered. A request that waits in the
middle of its work, for an upload, gives its slot back meanwhile.

What if the process dies? Other processes continue its work (see `staging.service`). The queued
requests had begun nothing, and their clients can send them again.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from staging_api.clients import ALWAYS_CONNECTED, Client, check_connected
from staging_api.errors import Unavailable
from staging_api.shutdown import Shutdown

# Interval at which a queued request checks whether the process ends; nothing else wakes it then.
_LOOK_SECONDS = 1.0


class WorkSlots:
    """Slots for long work, assigned in order of arrival."""

    def __init__(self, most: int, most_waiting: int = 1000) -> None:
        """Let `most` requests work at once, and `most_waiting` queue."""
        self._most_waiting = most_waiting
        self._free = most
        self._queue: deque[_Turn] = deque()
        self._mutex = threading.Lock()

    @contextmanager
    def one(self, client: Client, shutdown: Shutdown) -> Iterator["Slot"]:
        """Occupy a slot during the block, as soon as one is free.

        Raises:
            ClientGone: the client closed its connection while its request queued.
            ShuttingDown: this process ends.
            Unavailable: the queue is full.
        """
        slot = Slot(client, shutdown, self)
        slot.take()
        try:
            yield slot
        finally:
            slot.give()

    def take(self, client: Client, shutdown: Shutdown, *, first: bool) -> None:
        """Take a slot; a request that had a slot before queues `first`."""
        turn = _Turn()
        with self._mutex:
            if self._free:
                self._free -= 1
                return
            if not first and len(self._queue) >= self._most_waiting:
                raise Unavailable("too many requests are queued already")
            if first:
                self._queue.appendleft(turn)
            else:
                self._queue.append(turn)
        try:
            while not turn.has_come:
                with client.waiting(turn.wake.set):
                    turn.wake.wait(_LOOK_SECONDS)
                check_connected(client)
                shutdown.check_begun()
        except BaseException:
            with self._mutex:
                if not turn.has_come:
                    self._queue.remove(turn)
            # The turn may have come together with the error: then pass the slot on, as nobody else
            # would.
            if turn.has_come:
                self.give()
            raise

    def give(self) -> None:
        """Give a slot back, or pass it to the next waiting request."""
        with self._mutex:
            if self._queue:
                turn = self._queue.popleft()
                turn.has_come = True
                turn.wake.set()
            else:
                self._free += 1


class Slot:
    """The slot of one request, which is given back while the request waits during its work."""

    def __init__(self, client: Client, shutdown: Shutdown, slots: WorkSlots) -> None:
        """Create the object without a slot."""
        self._client, self._shutdown, self._slots = client, shutdown, slots
        self._is_taken = False

    def take(self, *, first: bool = False) -> None:
        """Wait for a slot."""
        self._slots.take(self._client, self._shutdown, first=first)
        self._is_taken = True

    def give(self) -> None:
        """Give the slot back, if it is taken."""
        if self._is_taken:
            self._is_taken = False
            self._slots.give()

    @contextmanager
    def aside(self) -> Iterator[Client]:
        """Give the slot back during the block, in which the request waits with the yielded client.

        Raises:
            ClientGone: the client closed its connection while its request waited for a slot again.
            ShuttingDown: this process ends.
        """
        self.give()
        yield self._client
        self.take(first=True)


@contextmanager
def no_slot() -> Iterator[Client]:
    """Replace `Slot.aside` for work without a slot, for which no client waits here."""
    yield ALWAYS_CONNECTED


@dataclass
class _Turn:
    """The position of one request in the queue."""

    wake: threading.Event = field(default_factory=threading.Event)
    has_come: bool = False
