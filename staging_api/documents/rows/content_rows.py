"""SQL statements on contents of collections, their documents, and the sealing keys."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from staging_api.db import document_tables as t
from staging_api.documents.stored import FoundText, StoredBody, StoredContent


def posted_text(conn: Connection, content_id: int) -> FoundText:
    """Read the posted text of a content."""
    c = t.document_contents.c
    query = select(c.posted, c.key_id, c.digest).where(c.id == content_id)
    return FoundText(*conn.execute(query).one())


def sealed_bodies(conn: Connection, content_id: int) -> list[tuple[int, bytes]]:
    """Return position and bytes of each sealed document of a content, in order."""
    c = t.document_bodies.c
    query = select(c.position, c.sealed).where(c.content_id == content_id, c.sealed.is_not(None))
    return [(row.position, bytes(row.sealed)) for row in conn.execute(query.order_by(c.position))]


def add_content(conn: Connection, content: StoredContent) -> int:
    """Store a content unless one with the same digest exists; return its id."""
    values = {name: value for name, value in vars(content).items() if name != "bodies"}
    values["documents_count"] = len(content.bodies)
    statement = upsert(t.document_contents).values(**values).on_conflict_do_nothing()
    content_id: int | None = conn.execute(
        statement.returning(t.document_contents.c.id)
    ).scalar_one_or_none()
    # A separate statement: RETURNING does not return the existing row of a conflict.
    if content_id is None:
        c = t.document_contents.c
        found: int = conn.execute(select(c.id).where(c.digest == content.digest)).scalar_one()
        return found
    if content.bodies:
        _add_bodies(conn, content_id, content.bodies)
    return content_id


# One statement for thousands of documents; `executemany` would send one for each.
_ADD_BODIES = text("""
    INSERT INTO document_bodies (
        content_id, position, schema, name, layer, replacement, storage_policy, body, sealed)
    SELECT :content_id, g.position, g.schema, g.name, g.layer, g.replacement, g.storage_policy,
        CAST(g.body AS json), decode(g.sealed, 'hex')
    FROM ROWS FROM (
        unnest(CAST(:position AS int[])), unnest(CAST(:schema AS text[])),
        unnest(CAST(:name AS text[])), unnest(CAST(:layer AS text[])),
        unnest(CAST(:replacement AS bool[])), unnest(CAST(:storage_policy AS text[])),
        unnest(CAST(:body AS text[])), unnest(CAST(:sealed AS text[]))
    ) AS g (position, schema, name, layer, replacement, storage_policy, body, sealed)
""")


def keys(conn: Connection) -> dict[str, bytes]:
    """Return the keys in the database, newest first."""
    c = t.document_keys.c
    rows = conn.execute(select(c.id, c.key).order_by(c.created_at.desc(), c.id))
    return {row.id: bytes(row.key) for row in rows}


def add_key(conn: Connection, key_id: str, key: bytes) -> None:
    """Store a key, unless a key of this name exists."""
    conn.execute(upsert(t.document_keys).values(id=key_id, key=key).on_conflict_do_nothing())


def sealed_by_others(conn: Connection, key_id: str, limit: int) -> list[int]:
    """Return contents that are sealed with another key than this one."""
    c = t.document_contents.c
    query = select(c.id).where(c.key_id.is_not(None), c.key_id != key_id)
    return list(conn.execute(query.order_by(c.id).limit(limit)).scalars())


def reseal(
    conn: Connection, content_id: int, key_id: str, posted: bytes, sealed: Mapping[int, bytes]
) -> None:
    """Replace a content by the same content sealed with another key; `sealed` by position."""
    contents, documents = t.document_contents, t.document_bodies
    conn.execute(
        update(contents).where(contents.c.id == content_id).values(key_id=key_id, posted=posted)
    )
    for position, value in sealed.items():
        conn.execute(
            update(documents)
            .where(documents.c.content_id == content_id, documents.c.position == position)
            .values(sealed=value)
        )


def _add_bodies(conn: Connection, content_id: int, given: Sequence[StoredBody]) -> None:
    columns: dict[str, Any] = {
        each.name: [getattr(body, each.name) for body in given] for each in fields(StoredBody)
    }
    columns["sealed"] = [None if value is None else value.hex() for value in columns["sealed"]]
    conn.execute(_ADD_BODIES, {"content_id": content_id, **columns})
