"""What the tables of every room share: the metadata, types of ids and times, checks of words."""

from sqlalchemy import DateTime, MetaData, Text, text

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


def one_of(column: str, words: tuple[str, ...]) -> str:
    """The condition that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(word) for word in words)})"
