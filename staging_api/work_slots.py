"""A limit of how many requests of a process do long work at once, and the queue of the others.

A request that stages keeps its thread for as long as its source takes. So there are fewer slots
for such work than threads, and quick requests are always answered. A request that only waits in the
middle of its work, for an upload, gives its slot back meanwhile.

What if the process dies? Its work is taken up elsewhere (see `staging.service`), and so are those
that queued here: nothing of theirs had begun.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from staging_api.clients import ALWAYS_CONNECTED, Client, check_connected
from staging_api.errors import Unavailable
from staging_api.shutdown import Shutdown

# When the process is to end, queued requests are released; nothing else wakes them then.
_LOOK_SECONDS = 1.0


class WorkSlots:
    """Slots for long work, given in order of arrival."""

    def __init__(self, most: int, most_waiting: int = 1000) -> None:
        """Let `most` requests work at once, and `most_waiting` queue."""
        self._most_waiting = most_waiting
        self._free = most
        self._queue: deque[_Turn] = deque()
        self._mutex = threading.Lock()

    @contextmanager
    def one(self, client: Client, shutdown: Shutdown) -> Iterator["Slot"]:
        """A slot for the block, as soon as one is free.

        Raises:
            ClientGone: the client closed its connection while its request queued.
            ShuttingDown: this process ends.
            Unavailable: too many queue already.
        """
        slot = Slot(client, shutdown, self)
        slot.take()
        try:
            yield slot
        finally:
            slot.give()

    def take(self, client: Client, shutdown: Shutdown, *, first: bool) -> None:
        """Take a slot; a request that had one before goes `first`."""
        turn = _Turn()
        with self._mutex:
            if self._free:
                self._free -= 1
                return
            if not first and len(self._queue) >= self._most_waiting:
                raise Unavailable("as many requests as may queue for work do already")
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
            # It may have come with the error: nobody else gives it to the next request then.
            if turn.has_come:
                self.give()
            raise

    def give(self) -> None:
        """Give a slot back, or on to the next request that waits for one."""
        with self._mutex:
            if self._queue:
                turn = self._queue.popleft()
                turn.has_come = True
                turn.wake.set()
            else:
                self._free += 1


class Slot:
    """The slot of one request, which it gives back while it waits in the middle of its work."""

    def __init__(self, client: Client, shutdown: Shutdown, slots: WorkSlots) -> None:
        """Have none yet."""
        self._client, self._shutdown, self._slots = client, shutdown, slots
        self._is_taken = False

    def take(self, *, first: bool = False) -> None:
        """Wait for a slot."""
        self._slots.take(self._client, self._shutdown, first=first)
        self._is_taken = True

    def give(self) -> None:
        """Give it back, if it is taken."""
        if self._is_taken:
            self._is_taken = False
            self._slots.give()

    @contextmanager
    def aside(self) -> Iterator[Client]:
        """Do without a slot in the block, which waits for something with the client it is given.

        Raises:
            ClientGone: the client closed its connection while its request waited for a slot again.
            ShuttingDown: this process ends.
        """
        self.give()
        yield self._client
        self.take(first=True)


@contextmanager
def no_slot() -> Iterator[Client]:
    """The `Slot.aside` of work without a slot, for which no client waits here."""
    yield ALWAYS_CONNECTED


@dataclass
class _Turn:
    """The place of one request in the queue."""

    wake: threading.Event = field(default_factory=threading.Event)
    has_come: bool = False
