"""Rows as the dataclasses that have fields of the same names."""

from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Row

T = TypeVar("T")


def made(cls: type[T], row: Row[Any], **more: Any) -> T:
    """One object of a row; lists become tuples, and columns that it does not know are left out."""
    columns = row._mapping  # noqa: SLF001 - its public name
    known = {each.name: columns[each.name] for each in fields(cls) if each.name in columns}  # type: ignore[arg-type]
    return cls(**{name: _plain(value) for name, value in known.items()} | more)


def _plain(value: Any) -> Any:
    """The driver's lists and views of bytes as what compares and hashes by content."""
    if isinstance(value, memoryview):
        return bytes(value)
    return tuple(value) if isinstance(value, list) else value
