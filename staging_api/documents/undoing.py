"""Undo of commits that were not confirmed in time.

What if the process dies? A commit is undone in one transaction (new revision, its commit, the mark
on the old commit), so it is either undone or still overdue; in that case the next worker, or the
next commit, undoes it.
"""

import logging
from dataclasses import replace

from staging_api.db.engine import Database
from staging_api.documents.buffering import CurrentCollections, RevisionTarget
from staging_api.documents.changing import Change, ChangeOrigin, changing
from staging_api.documents.rows import commit_rows, revision_rows
from staging_api.errors import LockHeld, LockLost
from staging_api.locks.hold import Locks, RequestOrigin

log = logging.getLogger(__name__)


def undo_overdue(locks: Locks) -> None:
    """Undo overdue commits; if another request is changing documents, leave them for later.

    Raises:
        Unavailable: the database cannot be reached.
    """
    author = ChangeOrigin(RequestOrigin(caller="worker"))
    try:
        # Check first without the lock: taking the lock for each check would refuse posts
        # needlessly.
        while _overdue(locks.database) is not None:
            with changing(locks.database, locks, author) as change:
                undo(change)
    except (LockHeld, LockLost) as error:
        log.info("an overdue commit is undone later: %s", error.detail)


def undo(change: Change) -> int | None:
    """Undo the overdue commit under the lock of `change`; return its revision, or None.

    The revision before the commit is committed again under a new number; documents posted since the
    commit stay in the buffer.
    """
    overdue = _overdue(change.database)
    if overdue is None:
        return None
    reason = f"the commit of revision {overdue} was not confirmed in time"
    change = replace(change, stamp=replace(change.stamp, reason=reason))
    with change.deciding() as (conn, now):
        before = commit_rows.committed_before(conn, overdue)
        target = RevisionTarget("undone", revision_rows.state(conn, before), before)
        undone = change.make(conn, now, target)
        commit_rows.mark_undone(conn, overdue, undone.revision)
        commit_rows.add_commit(
            conn, undone.revision, change.stamp, forced=False, confirm_seconds=None
        )
        # The buffer is the newest revision, so it is created again, after the revision that undoes.
        if now.buffered:
            old = target.collections
            then = CurrentCollections(undone.revision, old, undone.revision, old)
            kept = RevisionTarget("rolled_back", now.newest, now.newest_revision)
            change.make(conn, then, kept)
    log.warning("%s: it was undone", reason)
    return overdue


def _overdue(database: Database) -> int | None:
    with database.connect() as conn:
        return commit_rows.overdue(conn)
