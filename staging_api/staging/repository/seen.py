"""Which rows the answer about a staging is made of, and what a request for artifacts meets.

See ``db/functions/stagings_shown.sql``. A text names the rows by id, version and transaction: while
the database gives the same text, an answer that was made of them holds.
"""

from collections.abc import Sequence

from staging_api.db.engine import Database
from staging_api.locks.model import LockKind, Refusal
from staging_api.staging.model import AnswerRows, StandingAnswer

_SEEN = "SELECT staging_seen(%s)"
_ASKED = "SELECT * FROM staging_asked(%s, %s, %s)"


def staging_seen(database: Database, staging_id: str) -> AnswerRows | None:
    """Return the rows of a staging; None: there is no such staging."""
    ((seen,),) = database.read(_SEEN, (staging_id,))
    return _seen(seen)


def staging_asked(
    database: Database, archive_url: str, names: Sequence[str], kinds: Sequence[LockKind]
) -> StandingAnswer:
    """Look what a request for these artifacts meets; writes nothing.

    Args:
        kinds: the locks that the work on them needs, in the order in which they are taken.
    """
    given = (archive_url, list(names), [kind.name for kind in kinds])
    ((seen, kind, *lock),) = database.read(_ASKED, given)
    if kind is None:
        return StandingAnswer(_seen(seen), None)
    held = next(each for each in kinds if each.name == kind)
    lock_id, fence, caller, holder, reference_id, acquired_at, expires_at, remaining = lock
    refusal = Refusal(
        id=lock_id,
        kind=held,
        scope=archive_url,
        fence=fence,
        caller=caller,
        holder=holder,
        reference_id=reference_id,
        acquired_at=acquired_at,
        expires_at=expires_at,
        remaining_seconds=remaining,
    )
    return StandingAnswer(_seen(seen), refusal)


def _seen(text: str | None) -> AnswerRows | None:
    return None if text is None else AnswerRows(text.split(" ", 2)[1].partition(".")[0], text)
