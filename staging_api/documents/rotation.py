"""Key rotation: seal encrypted documents again with the current key.

What if the process dies? Each content is sealed again in one guarded transaction: it is sealed
either with the old key or with the new one, and names its key. Another run continues with the
contents that are left.
"""

from staging_api.documents.changing import ChangeOrigin, changing
from staging_api.documents.contents import seal_again
from staging_api.documents.rows import content_rows
from staging_api.documents.service import DocumentService

_AT_ONCE = 100


def rotate(documents: DocumentService, author: ChangeOrigin, *, new_key: bool) -> int:
    """Seal all contents with the current key; return the number of contents sealed again.

    Args:
        documents: the service whose contents to seal.
        author: the caller of the rotation.
        new_key: create a new key first; only for keys in the database.

    Raises:
        Invalid: `new_key` is true, but the keys are in a file.
        DocumentsUnreadable: the key of a content is missing.
        LockHeld: another request changes documents.
    """
    keys, database = documents.contents.keys, documents.database
    ring = keys.renew() if new_key else keys.refresh()
    done = 0
    with changing(database, documents.locks, author) as change:
        while True:
            with database.connect() as conn:
                left = content_rows.sealed_by_others(conn, ring.current, _AT_ONCE)
            if not left:
                return done
            # One transaction for each content: a single one would keep all contents in memory, and
            # lose all work if the lock is lost.
            for content_id in left:
                with change.deciding() as (conn, _):
                    old = content_rows.posted_text(conn, content_id)
                    sealed = content_rows.sealed_bodies(conn, content_id)
                    posted, again = seal_again(ring, old, sealed)
                    content_rows.reseal(conn, content_id, ring.current, posted, again)
                done += 1
