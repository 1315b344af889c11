"""Statements that commit by themselves are read like those of a connection of SQLAlchemy's."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, MultipleResultsFound

from staging_api.db.engine import Database
from staging_api.errors import DatabaseBusy
from tests.rows import execute, select

_PAIRS = text("SELECT n, n * :factor AS product FROM generate_series(1, :last) n ORDER BY n")


def test_rows_are_read_as_from_a_connection(database: Database) -> None:
    found = []
    with database.connect() as conn, database.plain_connection() as single:
        for each in (conn, single):
            all_of = each.execute(_PAIRS, {"factor": 10, "last": 2})
            one = each.execute(_PAIRS, {"factor": 10, "last": 1}).one()
            none = {"factor": 10, "last": 0}
            found.append(
                (
                    [(row.n, row.product, tuple(row)) for row in all_of],
                    (one.product, one[0]),
                    each.execute(_PAIRS, {"factor": 10, "last": 1}).scalar_one(),
                    list(each.execute(_PAIRS, {"factor": 10, "last": 3}).scalars()),
                    each.execute(_PAIRS, none).one_or_none(),
                    each.execute(_PAIRS, none).scalar_one_or_none(),
                    list(each.execute(_PAIRS, none)),
                )
            )
    assert found[0] == found[1]
    assert found[0][3] == [1, 2, 3]


def test_text_and_values_reach_the_server_as_they_are(database: Database) -> None:
    odd = text("SELECT '50 %' || :it, 1::text, make_interval(secs => :seconds), cast(:no AS text)")
    given = {"it": "x'%s\\:no", "seconds": 2.0, "no": None}
    with database.plain_connection() as single:
        assert tuple(single.execute(odd, given).one()) == (
            *("50 %x'%s\\:no", "1"),
            *(timedelta(seconds=2), None),
        )


def test_more_rows_than_one_are_refused(database: Database) -> None:
    two = {"factor": 1, "last": 2}
    for way, error in (
        (database.connect, MultipleResultsFound),
        (database.plain_connection, ValueError),
    ):
        for method in ("one", "one_or_none", "scalar_one", "scalar_one_or_none"):
            with way() as conn, pytest.raises(error):
                getattr(conn.execute(_PAIRS, two), method)()


def test_several_statements_at_once_are_one_transaction(database: Database) -> None:
    execute(database, "CREATE TABLE numbers_added (n integer)")
    try:
        with database.plain_connection() as single:
            both = text("INSERT INTO numbers_added VALUES (:n); SELECT 1 / :n AS share")
            assert single.execute(both, {"n": 1}).scalar_one() == 1
            with pytest.raises(DBAPIError, match="division by zero"):
                single.execute(both, {"n": 0})
            assert list(single.execute(text("INSERT INTO numbers_added VALUES (5)"))) == []
        assert select(database, "SELECT n FROM numbers_added ORDER BY n") == [(1,), (5,)]
    finally:
        execute(database, "DROP TABLE numbers_added")


def test_errors_are_those_of_sqlalchemy_within_the_block_and_ours_outside(
    database: Database,
) -> None:
    busy = text("DO $$ BEGIN RAISE lock_not_available; END $$")
    with pytest.raises(DatabaseBusy), database.plain_connection() as single:
        with pytest.raises(DBAPIError):
            single.execute(busy)
        single.execute(busy)
