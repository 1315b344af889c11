"""Copy-on-write mapping of keys to sets, for indexes shared between renderings."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Groups(Generic[_K, _V]):
    """Sets by key; a copy shares the sets of its original, and copies a set before changing it."""

    def __init__(self, began: Mapping[_K, set[_V]] | None = None) -> None:
        """Start with these sets, which are never changed."""
        self._sets = dict(began or {})
        #: Keys of the sets that were created or copied here, and may be changed in place.
        self._own: set[_K] = set()

    def copy(self) -> "Groups[_K, _V]":
        """Return a copy; changing the copy leaves the original unchanged."""
        return Groups(self._sets)

    def __iter__(self) -> Iterator[_K]:
        """Iterate over the keys that have a set."""
        return iter(self._sets)

    def get(self, key: _K) -> AbstractSet[_V]:
        """Return the set of a key; empty if the key has none."""
        return self._sets.get(key, frozenset())

    def add(self, key: _K, value: _V) -> None:
        """Add a value to the set of a key."""
        self._owned(key).add(value)

    def discard(self, key: _K, value: _V) -> None:
        """Remove a value from the set of a key, if present."""
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
