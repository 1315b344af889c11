"""Stagings with their artifacts in one statement: the most frequent question there is.

As text and by position: composing and unpacking the same through the toolkit takes longer than the
database takes to answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from staging_api.db.engine import rows
from staging_api.staging.model import Failure, StagedArtifact, Staging

_FAILURE = ("error_code", "error_message", "error_retryable")
_OF_STAGING = tuple(f.name for f in fields(Staging) if f.name not in {"failure", "artifacts"})
_OF_ARTIFACT = tuple(f.name for f in fields(StagedArtifact) if f.name != "failure")


def _columns(table: str, names: Sequence[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in (*names, *_FAILURE))


_WITH_ARTIFACTS = f"""
    SELECT {_columns("s", _OF_STAGING)}, {_columns("a", _OF_ARTIFACT)}
    FROM stagings s LEFT JOIN staged_artifacts a
      ON a.archive_url = s.archive_url AND a.name = ANY (s.requested) AND a.state <> 'evicted'
"""  # noqa: S608 - names of columns, from the classes above
_FIRST_OF_ARTIFACT = len(_OF_STAGING) + len(_FAILURE)

#: Those of a list of ids, in its order.
BY_ID = f"{_WITH_ARTIFACTS} WHERE s.id = ANY (%(ids)s) ORDER BY array_position(%(ids)s, s.id)"
#: The newest of an archive that asked for any of these names.
NEWEST = f"""{_WITH_ARTIFACTS}
    WHERE s.id = (
        SELECT n.id FROM stagings n
        WHERE n.archive_url = %(archive_url)s AND n.requested && %(names)s::text[]
        ORDER BY n.id DESC LIMIT 1)
"""  # noqa: S608 - of constants


def read(conn: Connection, statement: str, parameters: Mapping[str, Any]) -> list[Staging]:
    """Run one of the statements above."""
    found = rows(conn, statement, parameters)
    return [_staging(list(group)) for _, group in groupby(found, key=lambda row: row[0])]


def _staging(group: Sequence[Any]) -> Staging:
    first = group[0]
    columns = dict(zip(_OF_STAGING, first, strict=False))
    columns["waiting_for"] = tuple(columns["waiting_for"] or ())
    order = {name: place for place, name in enumerate(columns["requested"])}
    artifacts = sorted(_artifacts(group), key=lambda a: (order[a.name], a.path))
    failure = _failure(first[len(_OF_STAGING) : _FIRST_OF_ARTIFACT])
    return Staging(**columns, failure=failure, artifacts=tuple(artifacts))


def _artifacts(group: Sequence[Any]) -> Iterator[StagedArtifact]:
    for row in group:
        values = row[_FIRST_OF_ARTIFACT:]
        if values[0] is not None:
            columns = dict(zip(_OF_ARTIFACT, values, strict=False))
            yield StagedArtifact(**columns, failure=_failure(values[len(_OF_ARTIFACT) :]))


def _failure(columns: Sequence[Any]) -> Failure | None:
    code, message, retryable = columns
    return None if code is None else Failure(code, message or "", bool(retryable))
