"""Reads of many threads at the same time: one statement answers all calls that came before it.

A herd needs the same rows in the same moment, and one statement for ten keys costs little more than
one for one key. Calls that come while a statement runs gather; when it has ended, the first of them
sends one for the keys of all. So a statement begins after every call that it answers, and no caller
gets older rows than by a statement of its own. A call that comes alone waits for none.

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
    """Reads of one kind, by threads of one process."""

    def __init__(self, read: Callable[[Sequence[Key]], Mapping[Key, Found]]) -> None:
        """Read by `read`, which has to return something for each key."""
        self._read = read
        self._mutex = threading.Lock()
        self._sent: _Gathering[Key, Found] | None = None
        self._next: _Gathering[Key, Found] | None = None

    def find(self, key: Key) -> Found:
        """Return the row of a key, read after this call began.

        Raises:
            Exception: what `read` raises for this key alone.
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
    """Questions that one statement will answer."""

    def __init__(self, key: Key) -> None:
        self.keys = {key: None}
        # Each is held until the statement has ended: to wait for a condition takes thrice as long.
        self.waiting: list[threading.Lock] = []
        self.found: Mapping[Key, Found] | None = None


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
