"""SQL statements on revisions and on their collections and documents."""

from collections.abc import Mapping

from sqlalchemy import Connection, insert, select, text

from staging_api.db import document_tables as t
from staging_api.documents.stored import (
    COMMIT_FIELDS,
    SITE_ACTION_TAGS,
    TAG_FIELDS,
    Commit,
    ContentRef,
    DocumentElsewhere,
    Revision,
    Stamp,
    State,
    Tag,
    Versions,
    stamped,
)

_VERSIONS = text("""
    SELECT (SELECT max(number) FROM document_revisions),
        (SELECT max(revision) FROM document_commits),
        (SELECT max(revision) FROM document_tags WHERE tag = ANY (:either)),
        (SELECT max(revision) FROM document_tags WHERE tag = :success)
""")

_STATE = text("""
    SELECT c.name, v.content_id, k.digest
    FROM document_collection_versions v
    JOIN document_collections c ON c.id = v.collection_id
    JOIN document_contents k ON k.id = v.content_id
    WHERE v.first_revision <= :number AND (v.until_revision IS NULL OR v.until_revision > :number)
""")

_CLOSE_VERSIONS = text("""
    UPDATE document_collection_versions v SET until_revision = :number
    FROM document_collections c
    WHERE c.id = v.collection_id AND c.name = ANY (:names) AND v.until_revision IS NULL
""")

_OPEN_VERSIONS = text("""
    INSERT INTO document_collection_versions (collection_id, first_revision, content_id)
    SELECT c.id, :number, given.content_id
    FROM unnest(CAST(:names AS text[]), CAST(:content_ids AS bigint[])) AS given (name, content_id)
    JOIN document_collections c ON c.name = given.name
""")

# The documents of the changed collections, as in the newest revision.
_WANTED = """
    WITH wanted AS (
        SELECT b.schema, b.name, b.replacement, v.collection_id
        FROM document_collections c
        JOIN document_collection_versions v
            ON v.collection_id = c.id AND v.until_revision IS NULL
        JOIN document_bodies b ON b.content_id = v.content_id
        WHERE c.name = ANY (:names))
"""

_CLOSE_PLACES = text(f"""
    {_WANTED}
    UPDATE document_places p SET until_revision = :number
    FROM document_collections c
    WHERE c.id = p.collection_id AND c.name = ANY (:names) AND p.until_revision IS NULL
        AND NOT EXISTS (
            SELECT FROM wanted w
            WHERE (w.schema, w.name, w.replacement, w.collection_id)
                = (p.schema, p.name, p.replacement, p.collection_id))
""")  # noqa: S608 - constants of this module

# Conflicts with a collection that is not changed, and between the collections changed together:
# `replace` reverts all other collections of the buffer.
_ELSEWHERE = text(f"""
    {_WANTED}, elsewhere AS (
        SELECT w.schema, w.name, p.collection_id
        FROM wanted w
        JOIN document_places p ON p.until_revision IS NULL
            AND (p.schema, p.name, p.replacement) = (w.schema, w.name, w.replacement)
            AND p.collection_id <> w.collection_id
        UNION ALL
        SELECT w.schema, w.name, p.collection_id
        FROM wanted w
        JOIN document_places p ON p.until_revision IS NULL
            AND p.schema ~ '^deckhand/LayeringPolicy/' AND p.collection_id <> w.collection_id
        WHERE w.schema ~ '^deckhand/LayeringPolicy/'
        UNION ALL
        SELECT w.schema, w.name, o.collection_id
        FROM wanted w
        JOIN wanted o ON (o.schema, o.name, o.replacement) = (w.schema, w.name, w.replacement)
            AND o.collection_id <> w.collection_id
        UNION ALL
        SELECT w.schema, w.name, o.collection_id
        FROM wanted w
        JOIN wanted o ON o.schema ~ '^deckhand/LayeringPolicy/'
            AND o.collection_id <> w.collection_id
        WHERE w.schema ~ '^deckhand/LayeringPolicy/')
    SELECT e.schema, e.name, c.name AS collection
    FROM elsewhere e JOIN document_collections c ON c.id = e.collection_id
    ORDER BY c.name = :collection, e.schema, e.name
    LIMIT 1
""")  # noqa: S608 - constants of this module

_OPEN_PLACES = text(f"""
    {_WANTED}
    INSERT INTO document_places (schema, name, replacement, first_revision, collection_id)
    SELECT w.schema, w.name, w.replacement, :number, w.collection_id
    FROM wanted w
    WHERE NOT EXISTS (
        SELECT FROM document_places p
        WHERE p.until_revision IS NULL
            AND (p.schema, p.name, p.replacement) = (w.schema, w.name, w.replacement))
""")  # noqa: S608 - constants of this module

_COMMIT_COLUMNS = [t.document_commits.c[name] for name in COMMIT_FIELDS]
_TAG_COLUMNS = [t.document_tags.c[name] for name in TAG_FIELDS]


def versions(conn: Connection) -> Versions:
    """Return the revision of each version, all read at the same moment."""
    given = {"either": list(SITE_ACTION_TAGS), "success": SITE_ACTION_TAGS[0]}
    row = conn.execute(_VERSIONS, given).one()
    return Versions(*(number or 0 for number in row))


def state(conn: Connection, number: int) -> State:
    """Return the collections of a revision; revision 0 has none."""
    rows = conn.execute(_STATE, {"number": number})
    return {row.name: ContentRef(row.content_id, row.digest) for row in rows}


def add_revision(
    conn: Connection,
    number: int,
    kind: str,
    stamp: Stamp,
    *,
    digest: str,
    collection: str | None = None,
    copied_from: int | None = None,
) -> None:
    """Add a revision; its collections are those of the previous one until `change` is called."""
    collection_id = None if collection is None else _collection_id(conn, collection)
    conn.execute(
        insert(t.document_revisions).values(
            number=number,
            kind=kind,
            collection_id=collection_id,
            copied_from=copied_from,
            digest=digest,
            **stamped(stamp),
        )
    )


def change(
    conn: Connection, number: int, changed: Mapping[str, int | None], collection: str | None = None
) -> DocumentElsewhere | None:
    """Set the contents of collections (None: remove) from the newest revision on.

    Returns:
        A document of these contents that is also in another collection (preferably not in
        `collection`): in that case the transaction must not commit.
    """
    names = list(changed)
    now = {name: content_id for name, content_id in changed.items() if content_id is not None}
    given = {"number": number, "names": names}
    for name in now:
        _collection_id(conn, name)
    conn.execute(_CLOSE_VERSIONS, given)
    opened = {"number": number, "names": list(now), "content_ids": list(now.values())}
    conn.execute(_OPEN_VERSIONS, opened)
    # Close places before opening others, so that a document can move between two of the changed
    # collections.
    conn.execute(_CLOSE_PLACES, given)
    found = conn.execute(_ELSEWHERE, {"names": names, "collection": collection or ""}).one_or_none()
    if found is not None:
        return DocumentElsewhere(found.schema, found.name, found.collection)
    conn.execute(_OPEN_PLACES, given)
    return None


def find_revision(conn: Connection, number: int) -> Revision | None:
    """Return a revision, or None."""
    found = _revisions(conn, "r.number = :number", {"number": number}, limit=1)
    return found[0] if found else None


def list_revisions(conn: Connection, *, limit: int, before: int | None = None) -> list[Revision]:
    """Return revisions, newest first; only those before `before`, if given."""
    return _revisions(
        conn, "CAST(:before AS bigint) IS NULL OR r.number < :before", {"before": before}, limit
    )


def _revisions(
    conn: Connection, where: str, given: Mapping[str, object], limit: int
) -> list[Revision]:
    rows = conn.execute(
        text(f"""
            SELECT r.number, r.kind, c.name AS collection, r.copied_from, r.digest, r.caller,
                r.reference_id, r.reason, r.lock_id, r.created_at
            FROM document_revisions r
            LEFT JOIN document_collections c ON c.id = r.collection_id
            WHERE {where} ORDER BY r.number DESC LIMIT :limit
        """),  # noqa: S608 - conditions of this module
        {**given, "limit": limit},
    ).all()
    numbers = [row.number for row in rows]
    commits, tags = t.document_commits.c, t.document_tags.c
    committed = {
        row.revision: Commit(*row)
        for row in conn.execute(select(*_COMMIT_COLUMNS).where(commits.revision.in_(numbers)))
    }
    tagged: dict[int, list[Tag]] = {}
    for row in conn.execute(
        select(*_TAG_COLUMNS).where(tags.revision.in_(numbers)).order_by(tags.tag)
    ):
        tagged.setdefault(row.revision, []).append(Tag(*row))
    return [
        Revision(
            **row._mapping,  # noqa: SLF001 - SQLAlchemy's public name
            commit=committed.get(row.number),
            tags=tuple(tagged.get(row.number, ())),
        )
        for row in rows
    ]


def _collection_id(conn: Connection, name: str) -> int:
    """Return the id of a collection, which is created if it is new."""
    c = t.document_collections
    query = select(c.c.id).where(c.c.name == name)
    found: int | None = conn.execute(query).scalar_one_or_none()
    if found is None:
        found = conn.execute(insert(c).values(name=name).returning(c.c.id)).scalar_one()
    return found
