"""Sealing encrypted documents anew, with the key that is the current one now.

What if the process dies? Each content is one guarded transaction: it is sealed with the old key or
with the new one, and says with which. Run again, it goes on with those that are left.
"""

from staging_api.documents.changing import ChangeOrigin, changing
from staging_api.documents.contents import seal_again
from staging_api.documents.rows import content_rows
from staging_api.documents.service import DocumentService

_AT_ONCE = 100


def rotate(documents: DocumentService, author: ChangeOrigin, *, new_key: bool) -> int:
    """Seal everything with the current key; returns how many contents were sealed anew.

    Args:
        documents: whose contents.
        author: who wants it.
        new_key: make a new key first, where the database keeps them.

    Raises:
        Invalid: a new key is wanted, and a file keeps them.
        DocumentsUnreadable: the key of some content is not here.
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
            # A transaction for each: all together would keep every content in memory, and lose all
            # its work if the lock is lost.
            for content_id in left:
                with change.deciding() as (conn, _):
                    old = content_rows.posted_text(conn, content_id)
                    sealed = content_rows.sealed_bodies(conn, content_id)
                    posted, again = seal_again(ring, old, sealed)
                    content_rows.reseal(conn, content_id, ring.current, posted, again)
                done += 1
