"""Rows as the dataclasses that have fields of the same names."""

from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Row

T = TypeVar("T")


def made(cls: type[T], row: Row[Any], **more: Any) -> T:
    """One object of a row; lists become tuples, and columns that it does not know are left out."""
    columns = row._mapping  # noqa: SLF001 - its public name
    known = {each.name: columns[each.name] for each in fields(cls) if each.name in columns}  # type: ignore[arg-type]
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}
    return cls(**values | more)
