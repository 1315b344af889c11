"""Identify the rows from which a response about a staging is made.

See ``db/functions/stagings_shown.sql``. A text identifies the rows by id, version and transaction:
as long as the database returns the same text, a response made from these rows is valid.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from staging_api.db.engine import Database
from staging_api.locks.model import Refusal
from staging_api.staging.model import AnswerRows, Question, StandingAnswer

_SEEN = "SELECT %s, staging_seen(%s)"
_SEEN_MANY = "SELECT i, staging_seen(i) FROM unnest(%s) i"
_ASKED = "SELECT %s, a.* FROM staging_asked(%s, %s, %s) a"


def answer_rows(database: Database, ids: Sequence[str]) -> Mapping[str, AnswerRows | None]:
    """Return the rows of each of these stagings; None: there is no such staging."""
    if len(ids) == 1:
        found = database.read(_SEEN, (ids[0], ids[0]))
    else:
        found = database.read(_SEEN_MANY, (list(ids),))
    return {staging_id: _seen(seen) for staging_id, seen in found}


def standing_answers(
    database: Database, questions: Sequence[Question]
) -> Mapping[Question, StandingAnswer]:
    """Return the rows that answer each of these requests; writes nothing."""
    statement = " UNION ALL ".join([_ASKED] * len(questions))
    given: list[object] = []
    for number, each in enumerate(questions):
        kinds = [kind.name for kind in each.kinds]
        given += [number, each.archive_url, list(each.names), kinds]
    found = database.read(statement, given)
    return {questions[number]: _asked(questions[number], *row) for number, *row in found}


def _asked(question: Question, seen: str | None, kind: str | None, *lock: Any) -> StandingAnswer:
    if kind is None:
        return StandingAnswer(_seen(seen), None)
    held = next(each for each in question.kinds if each.name == kind)
    # The columns of the function are in the order of the fields, as those of `lock_acquire`.
    lock_id, *grant = lock
    return StandingAnswer(_seen(seen), Refusal(lock_id, held, question.archive_url, *grant))


def _seen(text: str | None) -> AnswerRows | None:
    return None if text is None else AnswerRows(text.split(" ", 2)[1].partition(".")[0], text)
