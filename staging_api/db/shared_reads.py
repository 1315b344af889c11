"""Combined reads of many threads: one statement serves all calls that were queued before it.

Many clients often need the same rows at the same moment, and one statement for ten keys costs
little more than one for a single key. Calls that arrive while a statement runs are collected; when
it has ended, the first of these calls sends one statement for the keys of all. So a statement
begins after every call that it serves, and no caller gets older rows than by a statement of its
own. A single call does not wait.

What if a statement fails? Each call that waited for it sends a statement of its own, and so does
its sender, if there were other keys. What if it hangs? The calls that wait for it do the same after
`_PATIENCE_SECONDS`; later calls wait for the next statement.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")

_PATIENCE_SECONDS = 0.1
_MOST_KEYS = 64


class SharedReads(Generic[Key, Found]):
    """Combined reads of one kind of row, for the threads of one process."""

    def __init__(self, read: Callable[[Sequence[Key]], Mapping[Key, Found]]) -> None:
        """Read with `read`, which must return a value for each key."""
        self._read = read
        self._mutex = threading.Lock()
        self._sent: _Batch[Key, Found] | None = None
        self._next: _Batch[Key, Found] | None = None

    def find(self, key: Key) -> Found:
        """Return the row of a key, read after this call began.

        Raises:
            Exception: any error that `read` raises for this key alone.
        """
        turn: threading.Lock | None = None
        with self._mutex:
            batch, leads = self._next, False
            if batch is None or len(batch.keys) >= _MOST_KEYS:
                batch, leads = _Batch(key), True
                if self._sent is None:
                    self._sent = batch
                else:
                    self._next = batch
                    turn = _held()
                    self._sent.waiting.insert(0, turn)
            else:
                batch.keys[key] = None
                turn = _held()
                batch.waiting.append(turn)
        in_time = turn is None or turn.acquire(timeout=_PATIENCE_SECONDS)
        if leads:
            return self._send(batch, key)
        if in_time and batch.found is not None:
            return batch.found[key]
        return self._read([key])[key]

    def _send(self, batch: "_Batch[Key, Found]", key: Key) -> Found:
        with self._mutex:
            if self._next is batch:
                self._next = None
            self._sent = batch
        try:
            batch.found = found = self._read(list(batch.keys))
            return found[key]
        except Exception:
            if len(batch.keys) == 1:
                raise
        finally:
            with self._mutex:
                if self._sent is batch:
                    self._sent = None
            for each in batch.waiting:
                each.release()
        return self._read([key])[key]


class _Batch(Generic[Key, Found]):
    """The calls that the next statement will serve."""

    def __init__(self, key: Key) -> None:
        self.keys = {key: None}
        # Each lock is held until the statement has ended; waiting for a condition takes three times
        # as long.
        self.waiting: list[threading.Lock] = []
        self.found: Mapping[Key, Found] | None = None


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
