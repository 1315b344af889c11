"""Stored responses to requests with an Idempotency-Key, to be sent again."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from staging_api.db.tables import idempotency_keys


@dataclass(frozen=True)
class KeptResponse:
    """A stored response, and the digest of its request."""

    request_sha256: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def find(conn: Connection, caller: str, key: str) -> KeptResponse | None:
    """Return the stored response to this caller's key, if any."""
    row = conn.execute(
        select(idempotency_keys).where(
            idempotency_keys.c.caller == caller, idempotency_keys.c.key == key
        )
    ).one_or_none()
    if row is None:
        return None
    return KeptResponse(row.request_sha256, row.status, row.headers, bytes(row.body))


def keep(conn: Connection, caller: str, key: str, answer: KeptResponse) -> None:
    """Store a response, in a transaction that holds the key's lock."""
    conn.execute(
        insert(idempotency_keys)
        .values(
            caller=caller,
            key=key,
            request_sha256=answer.request_sha256,
            status=answer.status,
            headers=dict(answer.headers),
            body=answer.body,
        )
        # The first response stays: a client may have seen it.
        .on_conflict_do_nothing()
    )


def delete_old(conn: Connection, older_than_seconds: float) -> int:
    """Delete old responses; return their number."""
    age = func.make_interval(0, 0, 0, 0, 0, 0, older_than_seconds)
    old = idempotency_keys.c.created_at < func.clock_timestamp() - age
    return conn.execute(delete(idempotency_keys).where(old)).rowcount
