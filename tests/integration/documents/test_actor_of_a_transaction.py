"""Author of a tag's deletion: set for its transaction, not for the connection's next one."""

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.documents.rows import commit_rows


def actor(conn: Connection) -> str | None:
    found: str | None = conn.execute(
        text("SELECT nullif(current_setting('staging.actor', true), '')")
    ).scalar_one()
    return found


@pytest.mark.parametrize("caller", ["me", "you"])
def test_the_caller_is_the_actor_until_the_transaction_ends(
    database: Database, caller: str
) -> None:
    with database.transactions.connect() as conn:
        with conn.begin():
            assert not commit_rows.remove_tag(conn, 1, "none", caller)
            assert actor(conn) == caller
        with conn.begin():
            assert actor(conn) is None
