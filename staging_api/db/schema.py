"""The metadata of all tables, and the types and kinds of columns that they share."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TextClause,
    text,
)
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import UserDefinedType

from staging_api.vocabulary.locks import OUTCOMES

metadata = MetaData(
    naming_convention={
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    }
)

# ULIDs sort by time only bytewise, and history is partitioned by them: never by locale.
Ulid = Text(collation="C")
Time = DateTime(timezone=True)
#: Its order is that of bytes, as Debian's version order and the order of index files are.
Bytewise = Text(collation="C")
#: A column that is never null.
required = partial(Column[Any], nullable=False)
#: A number that begins at 0.
counter = partial(required, server_default="0")
#: A column of the primary key.
key = partial(Column[Any], primary_key=True)
now = text("clock_timestamp()")


def table(name: str, *parts: SchemaItem, **more: Any) -> Table:
    """Return a table of this service's database."""
    return Table(name, metadata, *parts, **more)


def flag(name: str, *, default: bool, comment: str) -> Column[Any]:
    """Return a column of true or false; the default is for rows that do not say which."""
    server_default = text("true" if default else "false")
    return required(name, Boolean, server_default=server_default, comment=comment)


def numbered(
    name: str = "id", kind: type[Integer] = BigInteger, comment: str = "1, 2, 3 ..."
) -> Column[Any]:
    """Return a primary key of numbers that the database counts up."""
    return key(name, kind, Identity(always=True), comment=comment)


def index_where(condition: str, name: str | None, *columns: str | TextClause, **more: Any) -> Index:
    """Return an index of the rows that meet a condition: small, and no cost to all others."""
    return Index(name, *columns, postgresql_where=text(condition), **more)


#: The same as a key: no two of these rows have the same columns.
key_where = partial(index_where, unique=True)


def one_of(column: str, words: Sequence[str]) -> str:
    """Return the condition that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(word) for word in words)})"


def words(
    name: str, allowed: Sequence[str], column: Callable[..., Column[Any]] = required
) -> tuple[Column[Any], CheckConstraint]:
    """Return a column that holds one of these words, and the check that it does."""
    made = column(name, Text, comment=", ".join(allowed))
    return made, CheckConstraint(one_of(name, allowed), name=name)


def is_sha256(column: str) -> str:
    """Return the condition for a digest in hex; reasons for its form: ``sql/0013_checks.sql``."""
    return f"length({column}) = 64 AND {column} !~ '[^0-9a-f]'"


#: Type and condition of each domain in the database. Domains, not CHECKs of a table: PostgreSQL
#: parses those anew for each statement that writes a row, at some 5 us a piece, and the lock
#: writes four rows a cycle. A ULID's condition has no counted repetition, which took half of the
#: time of such a write.
DOMAINS = {
    "ulid": ('text COLLATE "C"', "length(VALUE) = 26 AND VALUE ~ '^[0-7][0-9A-HJKMNP-TV-Z]*$'"),
    "lock_scope": ("text", "octet_length(VALUE) <= 2000"),  # what an index can hold
    "lock_outcome": ("text", one_of("VALUE", OUTCOMES)),
}


class Domain(UserDefinedType[str]):
    """A text whose values are checked: one of `DOMAINS`."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_kw: Any) -> str:
        """Return the domain's name, for DDL."""
        return self.name
