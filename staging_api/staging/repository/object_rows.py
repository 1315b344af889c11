"""The rows of cached objects: versions of source objects whose content is in the store."""

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from staging_api.db.tables import held_objects
from staging_api.staging.model import CachedObject


def cached_object(conn: Connection, url: str, version: str) -> CachedObject | None:
    """Return this version of an object, if it is cached."""
    columns = [held_objects.c[name] for name in CachedObject.__dataclass_fields__]
    row = conn.execute(
        select(*columns).where(held_objects.c.url == url, held_objects.c.version == version)
    ).one_or_none()
    return None if row is None else CachedObject(*row)


def remember_objects(conn: Connection, objects: Sequence[CachedObject]) -> None:
    """Record cached objects, whose blobs are named in this transaction."""
    # Sorted: two transactions that record the same objects never deadlock.
    for cached in sorted(objects, key=lambda each: (each.url, each.version)):
        row = insert(held_objects).values(
            {name: getattr(cached, name) for name in CachedObject.__dataclass_fields__}
        )
        # If the source changed the content of a version, the newer content counts.
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
