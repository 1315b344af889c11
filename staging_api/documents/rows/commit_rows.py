"""SQL statements on commits and tags of revisions."""

from datetime import datetime

from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from staging_api.db import document_tables as t
from staging_api.documents.stored import Stamp, Unconfirmed, stamped

#: The commit is neither final nor undone.
_WAITS = (
    t.document_commits.c.confirm_until.is_not(None),
    t.document_commits.c.confirmed_at.is_(None),
    t.document_commits.c.undone_in.is_(None),
)


def add_commit(
    conn: Connection, revision: int, stamp: Stamp, *, forced: bool, confirm_seconds: float | None
) -> datetime | None:
    """Commit a revision; no other commit may be waiting to be confirmed.

    Returns:
        When the commit will be undone unless it is confirmed; None: the commit is final.
    """
    c = t.document_commits
    until = None
    if confirm_seconds is not None:
        until = text("clock_timestamp() + make_interval(secs => :confirm_seconds)").bindparams(
            confirm_seconds=confirm_seconds
        )
    values = {"revision": revision, "forced": forced, "confirm_until": until, **stamped(stamp)}
    added: datetime | None = conn.execute(
        insert(c).values(**values).returning(c.c.confirm_until)
    ).scalar_one()
    return added


def unconfirmed(conn: Connection) -> Unconfirmed | None:
    """Return the commit that waits to be confirmed; there is at most one."""
    c = t.document_commits.c
    row = conn.execute(select(c.revision, c.confirm_until).where(*_WAITS)).one_or_none()
    return None if row is None else Unconfirmed(row.revision, row.confirm_until)


def confirm(conn: Connection, revision: int, caller: str) -> bool:
    """Make a commit final, if it is unconfirmed and not overdue by the database's clock.

    Returns:
        Whether the commit was confirmed.
    """
    c = t.document_commits
    done = conn.execute(
        update(c)
        # Not now(), which is the start of the transaction: the transaction may have waited since
        # then.
        .where(*_WAITS, c.c.revision == revision, c.c.confirm_until > text("clock_timestamp()"))
        .values(confirmed_at=text("clock_timestamp()"), confirmed_by=caller)
    )
    return done.rowcount == 1


def overdue(conn: Connection) -> int | None:
    """Return a commit whose time ended before it was confirmed."""
    c = t.document_commits.c
    query = select(c.revision).where(*_WAITS, c.confirm_until <= text("clock_timestamp()"))
    return conn.execute(query.order_by(c.revision).limit(1)).scalar_one_or_none()


def mark_undone(conn: Connection, revision: int, undone_in: int) -> None:
    """Record the revision that undid a commit."""
    c = t.document_commits
    conn.execute(update(c).where(c.c.revision == revision).values(undone_in=undone_in))


def committed_before(conn: Connection, revision: int) -> int:
    """Return the revision that was committed before this one; 0: none."""
    c = t.document_commits.c
    query = select(c.revision).where(c.revision < revision).order_by(c.revision.desc()).limit(1)
    return conn.execute(query).scalar_one_or_none() or 0


def set_tag(conn: Connection, revision: int, tag: str, data: object, stamp: Stamp) -> None:
    """Tag a revision; an existing tag of this name is replaced."""
    tags = t.document_tags
    values = {"data": data, **stamped(stamp)}
    statement = upsert(tags).values(revision=revision, tag=tag, **values)
    again = {**values, "created_at": text("clock_timestamp()")}
    conn.execute(
        statement.on_conflict_do_update(index_elements=[tags.c.revision, tags.c.tag], set_=again)
    )


def remove_tag(conn: Connection, revision: int, tag: str, caller: str) -> bool:
    """Remove a tag from a revision; return whether the revision had the tag."""
    tags = t.document_tags
    # A deleted row does not name the caller of the deletion, so the trigger that writes the event
    # reads this setting; `true` limits the setting to the transaction.
    conn.execute(text("SELECT set_config('staging.actor', :caller, true)"), {"caller": caller})
    where = (tags.c.revision == revision, tags.c.tag == tag)
    return conn.execute(tags.delete().where(*where)).rowcount == 1
