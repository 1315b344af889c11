"""Conversion of rows to dataclasses with fields of the same names."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Row

T = TypeVar("T")


def made(cls: type[T], row: Any, **more: Any) -> T:
    """Create an object from a row, or a mapping; lists become tuples, other columns are ignored."""
    columns = row if isinstance(row, Mapping) else _by_name(row)
    known = {name: _plain(columns[name]) for name in _names(cls) if name in columns}  # type: ignore[arg-type]
    return cls(**known | more)


def moment(text: str | None) -> datetime | None:
    """Parse a time in a row that was read as JSON."""
    return None if text is None else datetime.fromisoformat(text)


def _by_name(row: Any) -> Any:
    found: Any = row._mapping if isinstance(row, Row) else row._asdict()  # noqa: SLF001 - public
    return found


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(cls))


def _plain(value: Any) -> Any:
    """Convert the driver's lists and memory views to types that compare and hash by content."""
    if isinstance(value, memoryview):
        return bytes(value)
    return tuple(value) if isinstance(value, list) else value
