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

# Bytewise, never by locale: only so do ULIDs sort by time, and the history is partitioned by ULID.
Ulid = Text(collation="C")
Time = DateTime(timezone=True)
#: Sorts by bytes, like the keys of Debian versions and the entries of index files.
Bytewise = Text(collation="C")
#: A column that is never null.
required = partial(Column[Any], nullable=False)
#: A number that starts at 0.
counter = partial(required, server_default="0")
#: A column of the primary key.
key = partial(Column[Any], primary_key=True)
now = text("clock_timestamp()")


def table(name: str, *parts: SchemaItem, **more: Any) -> Table:
    """Return a table of the service's database."""
    return Table(name, metadata, *parts, **more)


def flag(name: str, *, default: bool, comment: str) -> Column[Any]:
    """Return a boolean column; the default applies to rows that do not set it."""
    server_default = text("true" if default else "false")
    return required(name, Boolean, server_default=server_default, comment=comment)


def numbered(
    name: str = "id", kind: type[Integer] = BigInteger, comment: str = "1, 2, 3 ..."
) -> Column[Any]:
    """Return an identity column as primary key."""
    return key(name, kind, Identity(always=True), comment=comment)


def index_where(condition: str, name: str | None, *columns: str | TextClause, **more: Any) -> Index:
    """Return a partial index: small, and free of cost for all other rows."""
    return Index(name, *columns, postgresql_where=text(condition), **more)


#: A partial unique index: no two of its rows have equal columns.
key_where = partial(index_where, unique=True)


def one_of(column: str, words: Sequence[str]) -> str:
    """Return the condition that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(word) for word in words)})"


def words(
    name: str, allowed: Sequence[str], column: Callable[..., Column[Any]] = required
) -> tuple[Column[Any], CheckConstraint]:
    """Return a column that holds one of these words, and its CHECK constraint."""
    made = column(name, Text, comment=", ".join(allowed))
    return made, CheckConstraint(one_of(name, allowed), name=name)


def is_sha256(column: str) -> str:
    """Return the condition for a digest in hex; reasons for its form: ``sql/0013_checks.sql``."""
    return f"length({column}) = 64 AND {column} !~ '[^0-9a-f]'"


#: Type and condition of each domain in the database. Domains, not CHECKs of a table: PostgreSQL
#: parses CHECKs again for each statement that writes a row, at some 5 us each, and a lock cycle
#: writes four rows. The condition of a ULID has no counted repetition, which took half of the time
#: of such a write.
DOMAINS = {
    "ulid": ('text COLLATE "C"', "length(VALUE) = 26 AND VALUE ~ '^[0-7][0-9A-HJKMNP-TV-Z]*$'"),
    "lock_scope": ("text", "octet_length(VALUE) <= 2000"),  # the maximum for an index entry
    "lock_outcome": ("text", one_of("VALUE", OUTCOMES)),
}


class Domain(UserDefinedType[str]):
    """A text type with checked values: one of `DOMAINS`."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_kw: Any) -> str:
        """Return the domain's name, for DDL."""
        return self.name
