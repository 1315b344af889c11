"""Sets by key, as an index keeps them from one rendering to the next."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Groups(Generic[_K, _V]):
    """Sets by key; a copy shares the sets of its original, and copies one before changing it."""

    def __init__(self, began: Mapping[_K, set[_V]] | None = None) -> None:
        """Begin with these sets, which are not changed."""
        self._sets = dict(began or {})
        #: The keys whose sets were made here.
        self._own: set[_K] = set()

    def copy(self) -> "Groups[_K, _V]":
        """Give a copy; changing it leaves this as it is."""
        return Groups(self._sets)

    def __iter__(self) -> Iterator[_K]:
        """The keys that have a set."""
        return iter(self._sets)

    def get(self, key: _K) -> AbstractSet[_V]:
        """The set of a key; empty if there is none."""
        return self._sets.get(key, frozenset())

    def add(self, key: _K, value: _V) -> None:
        """Put a value into the set of a key."""
        self._owned(key).add(value)

    def discard(self, key: _K, value: _V) -> None:
        """Take a value from the set of a key, if it is there."""
        if value not in self.get(key):
            return
        members = self._owned(key)
        members.remove(value)
        if not members:
            del self._sets[key]
            self._own.remove(key)

    def _owned(self, key: _K) -> set[_V]:
        if key not in self._own:
            self._sets[key] = set(self._sets.get(key, ()))
            self._own.add(key)
        return self._sets[key]
