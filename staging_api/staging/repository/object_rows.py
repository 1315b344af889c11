"""The rows that say which versions of source objects are in the store already."""

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from staging_api.db.tables import held_objects
from staging_api.staging.model import CachedObject


def cached_object(conn: Connection, url: str, version: str) -> CachedObject | None:
    """This version of an object, if its whole content is in the store."""
    columns = [held_objects.c[name] for name in CachedObject.__dataclass_fields__]
    row = conn.execute(
        select(*columns).where(held_objects.c.url == url, held_objects.c.version == version)
    ).one_or_none()
    return None if row is None else CachedObject(*row)


def remember_objects(conn: Connection, objects: Sequence[CachedObject]) -> None:
    """Say of objects that they are in the store; their blobs are named in this transaction."""
    # In one order: two transactions that note the same objects never wait for each other.
    for each in sorted(objects, key=lambda held: (held.url, held.version)):
        row = insert(held_objects).values(
            {name: getattr(each, name) for name in CachedObject.__dataclass_fields__}
        )
        # Another content under the same version: its source broke its word; the newer one counts.
        conn.execute(
            row.on_conflict_do_update(
                index_elements=["url", "version"],
                set_={
                    "sha256": row.excluded.sha256,
                    "size_bytes": row.excluded.size_bytes,
                    "verified_by": row.excluded.verified_by,
                    "read_at": row.excluded.read_at,
                },
                where=held_objects.c.sha256 != row.excluded.sha256,
            )
        )
