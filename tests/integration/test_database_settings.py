"""Unfavourable settings of a role or database: the lock works, or its error names the setting."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from staging_api.db.engine import Database, open_database
from staging_api.db.sessions import SETTINGS
from staging_api.db.timeouts import Timeouts
from staging_api.errors import DatabaseRefused
from staging_api.locks import repository
from staging_api.locks.hold import guarded, hold
from staging_api.locks.model import ARCHIVE
from tests.factories import ORIGIN, locks_of
from tests.leases import rows
from tests.service import eventually

WRONG = {
    "default_transaction_isolation": "'repeatable read'",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "session_replication_role": "replica",
    "row_security": "off",
    "search_path": "elsewhere, pg_catalog",
    "synchronous_commit": "off",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "client_encoding": "'SQL_ASCII'",
    "client_min_messages": "debug5",
    "TimeZone": "'Asia/Kathmandu'",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "'-15'",
    "statement_timeout": "2",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    # Longer than connecting takes on a busy machine, shorter than the pause and transaction of the
    # test itself.
    "idle_session_timeout": "400",
    "transaction_timeout": "400",
    "restrict_nonsystem_relation_kind": "'view'",
    # Other settings on which a statement of ours might have relied.
    "lc_messages": "'C'",
    "backslash_quote": "off",
    "escape_string_warning": "on",
    "quote_all_identifiers": "on",
    "plan_cache_mode": "force_custom_plan",
    "enable_indexscan": "off",
    "gin_fuzzy_search_limit": "1",
    "jit_above_cost": "0",
    "temp_buffers": "100",
}
CAST = {"role": "ALTER ROLE careless", "database": "ALTER DATABASE {database}"}


@contextmanager
def altered(owner: Database, url: str, whose: str, wrong: Mapping[str, str]) -> Iterator[str]:
    """Yield the database as seen by a role for which these settings have wrong values."""
    target = make_url(url)
    whole = CAST[whose].format(database=target.database)
    with owner.connect() as conn:
        known = set(conn.scalars(text("SELECT name FROM pg_settings")))
        names = [name for name in wrong if name in known]
        if not names:
            pytest.skip(f"this server has no {', '.join(wrong)}")
        conn.execute(text("DROP ROLE IF EXISTS careless"))
        conn.execute(text("CREATE ROLE careless LOGIN SUPERUSER"))
        for name in names:
            conn.execute(text(f"{whole} SET {name} = {wrong[name]}"))
    try:
        yield target.set(username="careless").render_as_string(hide_password=False)
    finally:
        with owner.connect() as conn:
            conn.execute(text(f"{whole} RESET ALL"))
            conn.execute(text("DROP ROLE careless"))


def test_each_setting_of_ours_is_turned_the_wrong_way() -> None:
    assert SETTINGS.keys() <= WRONG.keys()


#: Whose settings, and which: all at once, and each alone.
TURNED = [
    *(pytest.param("role", {name}, marks=pytest.mark.prove, id=f"role-{name}") for name in WRONG),
    *(
        pytest.param("database", {name}, marks=pytest.mark.prove, id=f"database-{name}")
        for name in SETTINGS
    ),
    pytest.param("role", set(WRONG), id="role"),
    pytest.param("database", set(SETTINGS), id="database"),
]


@pytest.mark.parametrize(("whose", "names"), TURNED)
def test_the_lock_works_whatever_a_role_or_a_database_sets(
    whose: str, names: set[str], database: Database, database_url: str
) -> None:
    wrong = {name: value for name, value in WRONG.items() if name in names}
    with (
        altered(database, database_url, whose, wrong) as url,
        closing(open_database(url, 3)) as careless,
        # Long enough for a busy machine; a number that rounding reduces by a tenth.
        locks_of(careless, url, lease_seconds=95.5) as locks,
    ):
        waited = threading.Thread(target=wait_for, args=(locks,))
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            assert 90 < held.lease.remaining_seconds <= 95.5
            waited.start()
            with guarded(careless, held) as conn:
                conn.execute(text("INSERT INTO archives VALUES ('gs://b/ä', 'ä')"))
                first = held.trusted_until
                held.renew_at = 0.0
                locks.keeper.add(held)  # the renewal that finds the lease due
                eventually(lambda: held.trusted_until > first, "it is not renewed")
            with careless.connect() as conn:
                (shown,) = repository.held(conn, limit=5)
            assert (shown.id, shown.acquired_at) == (held.lease.id, held.lease.acquired_at)
        waited.join()
    assert rows(database, "SELECT DISTINCT outcome FROM api_locks") == [("released",)]
    assert rows(database, "SELECT archive_url FROM archives") == [("gs://b/ä",)]


def wait_for(locks) -> None:
    with hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=60):
        pass


@pytest.fixture
def pooled() -> Timeouts:
    return Timeouts(statement_seconds=9, idle_seconds=9, hung_seconds=9, sent=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("session_replication_role", "replica"),
        ("synchronous_commit", "local"),
        ("standard_conforming_strings", "off"),
        ("extra_float_digits", "'-3'"),
        ("statement_timeout", "20"),
        ("idle_session_timeout", "'0.5s'"),
    ],
)
def test_behind_a_pooler_an_unsafe_setting_is_named_and_refused(
    name: str, value: str, pooled: Timeouts, database: Database, database_url: str
) -> None:
    with (
        altered(database, database_url, "role", {name: value}) as url,
        closing(open_database(url, 1, pooled)) as careless,
    ):
        for connecting in (careless.connect, careless.begin):
            with pytest.raises(DatabaseRefused, match=name), connecting() as conn:
                conn.execute(text("SELECT 1"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "remote_apply"),
        ("TimeZone", "'Asia/Kathmandu'"),
        ("statement_timeout", "'30s'"),
        ("lock_timeout", "'10s'"),
        ("extra_float_digits", "3"),
    ],
)
def test_behind_a_pooler_a_safe_setting_is_left_to_the_role(
    name: str, value: str, pooled: Timeouts, database: Database, database_url: str
) -> None:
    with (
        altered(database, database_url, "role", {name: value}) as url,
        closing(open_database(url, 1, pooled)) as careful,
        careful.connect() as conn,
    ):
        assert conn.execute(text(f"SHOW {name}")).scalar_one() == value.strip("'")


def test_a_setting_that_only_a_superuser_may_change_is_named(
    database: Database, database_url: str
) -> None:
    with altered(database, database_url, "role", {"session_replication_role": "replica"}) as url:
        with database.connect() as conn:
            conn.execute(text("ALTER ROLE careless NOSUPERUSER"))
        with closing(open_database(url, 1)) as careless:
            with pytest.raises(DatabaseRefused, match="session_replication_role"):
                with careless.connect():
                    pytest.fail("connected without the record's triggers")


def test_options_of_the_url_are_kept_beside_ours(database: Database, database_url: str) -> None:
    del database
    url = make_url(database_url).update_query_dict(
        {"options": "-c work_mem=7MB -c default_transaction_isolation=serializable"}
    )
    with closing(open_database(url.render_as_string(hide_password=False), 1)) as made:
        with made.connect() as conn:
            assert conn.execute(text("SHOW work_mem")).scalar_one() == "7MB"
            shown = conn.execute(text("SHOW default_transaction_isolation")).scalar_one()
    assert shown == "read committed"


def test_a_file_of_the_settings_is_documented() -> None:
    text_of = (Path(__file__).parents[2] / "docs/explanation/lock.md").read_text()
    assert [name for name in SETTINGS if f"`{name}`" not in text_of] == []
