"""Contents of collections, their documents, and the keys that seal them."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from staging_api.db import document_tables as t
from staging_api.documents.stored import FoundBody, FoundText, StoredBody, StoredContent


def posted_text(conn: Connection, content_id: int) -> FoundText:
    """The text of a content."""
    c = t.document_contents.c
    query = select(c.posted, c.key_id, c.digest).where(c.id == content_id)
    return FoundText(*conn.execute(query).one())


def bodies(conn: Connection, content_ids: Iterable[int]) -> list[FoundBody]:
    """The documents of these contents, in order, each with the digest and key of its content."""
    b, k = t.document_bodies, t.document_contents
    query = (
        select(b.c.content_id, b.c.position, text("body::text"), b.c.sealed, k.c.key_id, k.c.digest)
        .join(k, k.c.id == b.c.content_id)
        .where(b.c.content_id.in_(list(content_ids)))
        .order_by(b.c.content_id, b.c.position)
    )
    return [FoundBody(*row) for row in conn.execute(query)]


def add_content(conn: Connection, content: StoredContent) -> int:
    """Keep a content; one with the same digest is that content already."""
    values = {
        "digest": content.digest,
        "documents_count": len(content.bodies),
        "posted": content.posted,
        "size_bytes": content.size_bytes,
        "key_id": content.key_id,
    }
    statement = upsert(t.document_contents).values(**values).on_conflict_do_nothing()
    content_id: int | None = conn.execute(
        statement.returning(t.document_contents.c.id)
    ).scalar_one_or_none()
    # A statement of its own: RETURNING gives no row that was in conflict.
    if content_id is None:
        c = t.document_contents.c
        found: int = conn.execute(select(c.id).where(c.digest == content.digest)).scalar_one()
        return found
    if content.bodies:
        _add_bodies(conn, content_id, content.bodies)
    return content_id


# One statement for thousands of documents; the driver would send one for each.
_ADD_BODIES = text("""
    INSERT INTO document_bodies (
        content_id, position, schema, name, layer, replacement, storage_policy, body, sealed)
    SELECT :content_id, g.position, g.schema, g.name, g.layer, g.replacement, g.storage_policy,
        CAST(g.body AS json), decode(g.sealed, 'hex')
    FROM ROWS FROM (
        unnest(CAST(:positions AS int[])), unnest(CAST(:schemas AS text[])),
        unnest(CAST(:names AS text[])), unnest(CAST(:layers AS text[])),
        unnest(CAST(:replacements AS bool[])), unnest(CAST(:policies AS text[])),
        unnest(CAST(:bodies AS text[])), unnest(CAST(:sealed AS text[]))
    ) AS g (position, schema, name, layer, replacement, storage_policy, body, sealed)
""")


def keys(conn: Connection) -> dict[str, bytes]:
    """The keys that the database keeps, newest first."""
    c = t.document_keys.c
    rows = conn.execute(select(c.id, c.key).order_by(c.created_at.desc(), c.id))
    return {row.id: bytes(row.key) for row in rows}


def add_key(conn: Connection, key_id: str, key: bytes) -> None:
    """Keep a key, unless there is one of this name."""
    conn.execute(upsert(t.document_keys).values(id=key_id, key=key).on_conflict_do_nothing())


def sealed_by_others(conn: Connection, key_id: str, limit: int) -> list[int]:
    """Contents that are sealed with another key than this one."""
    c = t.document_contents.c
    query = select(c.id).where(c.key_id.is_not(None), c.key_id != key_id)
    return list(conn.execute(query.order_by(c.id).limit(limit)).scalars())


def reseal(
    conn: Connection, content_id: int, key_id: str, posted: bytes, sealed: Mapping[int, bytes]
) -> None:
    """Put a content that was sealed anew in the place of the old one; `sealed` by position."""
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
    conn.execute(
        _ADD_BODIES,
        {
            "content_id": content_id,
            "positions": [body.position for body in given],
            "schemas": [body.schema for body in given],
            "names": [body.name for body in given],
            "layers": [body.layer for body in given],
            "replacements": [body.replacement for body in given],
            "policies": [body.storage_policy for body in given],
            "bodies": [body.body for body in given],
            "sealed": [None if body.sealed is None else body.sealed.hex() for body in given],
        },
    )
