"""Typed access to the fields of a posted mapping; faults are collected, not raised."""

from collections.abc import Collection, Iterator
from typing import Any

from staging_api.documents.model import Path
from staging_api.documents.paths import kind_of, path_text, shortened

#: Maximum number of faults reported for one document.
_MOST_FAULTS = 100


class Faults:
    """Collects the faults of one document, by field."""

    def __init__(self) -> None:
        """Start without faults."""
        self.found: list[tuple[Path, str]] = []

    def add(self, path: Path, message: str) -> None:
        """Add a fault of the value at `path`; the message continues a sentence after the path."""
        if len(self.found) < _MOST_FAULTS:
            self.found.append((path, message))


class Fields:
    """A mapping in a document, with its path."""

    def __init__(self, value: Any, path: Path, faults: Faults) -> None:
        """Wrap `value`; a value that is not a mapping is a fault, and has no fields."""
        self.path = path
        self.faults = faults
        self.sound = isinstance(value, dict)
        self._value: dict[str, Any] = value if self.sound else {}
        if not self.sound:
            faults.add(path, f"is {kind_of(value)}, and must be a mapping")

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def only(self, *known: str) -> None:
        """Refuse all keys except these."""
        for key in self._value:
            if key not in known:
                self.faults.add(
                    (*self.path, shortened(key)),
                    f"is not a known key: known are {', '.join(known)}",
                )

    def refuse(self, key: str, message: str) -> None:
        """Add a fault of the value at a key."""
        self.faults.add((*self.path, key), message)

    def text(self, key: str, among: Collection[str] = ()) -> str:
        """Return a required text; it must be in `among`, if given."""
        value = self._required(key, str, "a text")
        if value and among and value not in among:
            self.refuse(key, f"must be one of {', '.join(among)}")
        return value or ""

    def optional_text(self, key: str) -> str | None:
        """Return an optional text."""
        return self.text(key) if key in self else None

    def flag(self, key: str) -> bool:
        """Return an optional boolean; missing means false."""
        return bool(self._required(key, bool, "true or false")) if key in self else False

    def integer(self, key: str, minimum: int, default: int) -> int:
        """Return an optional whole number; missing means `default`."""
        if key not in self:
            return default
        value = self._value[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            self.refuse(key, f"must be a whole number, at least {minimum}")
            return default
        return value

    def fields(self, key: str) -> "Fields":
        """Return a required mapping."""
        if key not in self:
            self.refuse(key, "is missing, and must be a mapping")
            return Fields({}, (*self.path, key), Faults())
        return Fields(self._value[key], (*self.path, key), self.faults)

    def elements(self, key: str) -> Iterator["Fields"]:
        """Yield the mappings in an optional list; missing means none."""
        values = self._required(key, list, "a list") if key in self else None
        for number, value in enumerate(values or ()):
            yield Fields(value, (*self.path, key, number), self.faults)

    def one_or_more(self, key: str) -> Iterator["Fields"]:
        """Yield a mapping, or the mappings in a non-empty list."""
        if isinstance(self._value.get(key), list) and self._value[key]:
            yield from self.elements(key)
        elif isinstance(self._value.get(key), dict):
            yield self.fields(key)
        else:
            self.refuse(key, "must be a mapping, or a list of at least one")

    def scalars(self, key: str) -> dict[str, Any]:
        """Return an optional mapping to texts, numbers and booleans; missing means empty."""
        values: dict[str, Any] = (
            (self._required(key, dict, "a mapping") or {}) if key in self else {}
        )
        for name, value in values.items():
            if value is None or isinstance(value, dict | list):
                self.faults.add((*self.path, key, name), f"is {kind_of(value)}, and must be a text")
        return values

    def value(self, key: str) -> Any:
        """Return the value as it is; None if missing."""
        return self._value.get(key)

    def _required(self, key: str, kind: type, needed: str) -> Any:
        value = self._value.get(key)
        if isinstance(value, kind):
            return value
        was = f"is {kind_of(value)}" if key in self else "is missing"
        self.refuse(key, f"{was}, and must be {needed}")
        return None


def field_text(path: Path) -> str:
    """Format the path of a fault for messages."""
    return shortened(path_text(path))
