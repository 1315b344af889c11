"""Mapping rows to dataclasses that have fields of the same names."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Row

T = TypeVar("T")


def made(cls: type[T], row: Row[Any] | Mapping[str, Any], **more: Any) -> T:
    """Make an object of a row; lists become tuples, columns without a field are left out."""
    columns = row._mapping if isinstance(row, Row) else row  # noqa: SLF001 - its public name
    known = {name: _plain(columns[name]) for name in _names(cls) if name in columns}  # type: ignore[arg-type]
    return cls(**known | more)


def moment(text: str | None) -> datetime | None:
    """Return the time in a row that came as JSON."""
    return None if text is None else datetime.fromisoformat(text)


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(cls))


def _plain(value: Any) -> Any:
    """The driver's lists and views of bytes as what compares and hashes by content."""
    if isinstance(value, memoryview):
        return bytes(value)
    return tuple(value) if isinstance(value, list) else value
