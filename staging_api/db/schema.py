"""What every table is made of: the one catalogue of tables, and the types that they share."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import DateTime, MetaData, Text, text
from sqlalchemy.types import UserDefinedType

metadata = MetaData(
    naming_convention={
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    }
)

# ULIDs sort by time only byte by byte, and history is partitioned by them: never by locale.
Ulid = Text(collation="C")
Time = DateTime(timezone=True)
now = text("clock_timestamp()")


def one_of(column: str, words: Sequence[str]) -> str:
    """The condition that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(word) for word in words)})"


def is_sha256(column: str) -> str:
    """The condition that a column holds a digest in hex; why so: ``sql/0013_checks.sql``."""
    return f"length({column}) = 64 AND {column} !~ '[^0-9a-f]'"


class Domain(UserDefinedType[str]):
    """A text whose values are checked, of ``migrations/sql/0001_domains.sql``."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        """Refer to the domain `name`."""
        self.name = name

    def get_col_spec(self, **_kw: Any) -> str:
        """Name it in DDL."""
        return self.name
