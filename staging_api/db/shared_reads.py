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
        self._sent: _Gathering[Key, Found] | None = None
        self._next: _Gathering[Key, Found] | None = None

    def find(self, key: Key) -> Found:
        """Return the row of a key, read after this call began.

        Raises:
            Exception: any error that `read` raises for this key alone.
        """
        turn: threading.Lock | None = None
        with self._mutex:
            gathering, leads = self._next, False
            if gathering is None or len(gathering.keys) >= _MOST_KEYS:
                gathering, leads = _Gathering(key), True
                if self._sent is None:
                    self._sent = gathering
                else:
                    self._next = gathering
                    turn = _held()
                    self._sent.waiting.insert(0, turn)
            else:
                gathering.keys[key] = None
                turn = _held()
                gathering.waiting.append(turn)
        in_time = turn is None or turn.acquire(timeout=_PATIENCE_SECONDS)
        if leads:
            return self._send(gathering, key)
        if in_time and gathering.found is not None:
            return gathering.found[key]
        return self._read([key])[key]

    def _send(self, gathering: "_Gathering[Key, Found]", key: Key) -> Found:
        with self._mutex:
            if self._next is gathering:
                self._next = None
            self._sent = gathering
        try:
            gathering.found = found = self._read(list(gathering.keys))
            return found[key]
        except Exception:
            if len(gathering.keys) == 1:
                raise
        finally:
            with self._mutex:
                if self._sent is gathering:
                    self._sent = None
            for each in gathering.waiting:
                each.release()
        return self._read([key])[key]


class _Gathering(Generic[Key, Found]):
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
