"""Read stagings with their artifacts in one statement, which is the most frequent query.

The statement calls functions, whose plans are kept: see ``db/functions/stagings_shown.sql``.

An unfinished staging shows the live rows of its artifacts, except those that failed for it: a later
request may have opened such a row again. A finished staging shows the rows with which it ended; if
a later staging staged an artifact since, `brought_since_by` names it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from staging_api.db.engine import rows
from staging_api.staging.model import Failure, StagedArtifact, Staging

#: The stagings of a list of ids, in its order.
BY_ID = "SELECT stagings_show(%(ids)s)"
#: The newest staging of an archive that requested any of these names.
NEWEST = "SELECT stagings_show_newest(%(archive_url)s, %(names)s)"

_OF_STAGING = [f.name for f in fields(Staging) if f.name not in {"failure", "artifacts", "tag"}]
_OF_ARTIFACT = [
    f.name for f in fields(StagedArtifact) if f.name not in {"failure", "brought_since_by"}
]
# JSON has no type for times.
_TIMES = {
    f.name
    for f in (*fields(Staging), *fields(StagedArtifact))
    if f.type in (datetime, datetime | None)
}
_TAG_BYTES = 10


def read(conn: Connection, statement: str, parameters: Mapping[str, Any]) -> list[Staging]:
    """Run one of the statements above."""
    return [_staging(**shown) for (shown,) in rows(conn, statement, parameters)]


def _staging(staging: dict[str, Any], artifacts: list[dict[str, Any]] | None) -> Staging:
    columns = _columns(staging, _OF_STAGING)
    for name in ("waiting_for", "joined"):
        columns[name] = tuple(columns[name] or ())
    found = _shown(staging, list(map(_artifact, artifacts or ())), columns["finished_at"])
    order = {name: place for place, name in enumerate(columns["requested"])}
    found.sort(key=lambda a: (order[a.name], a.path))
    return Staging(
        **columns,
        failure=_failure(staging),
        artifacts=tuple(found),
        tag=_tag(columns["version"], found),
    )


def _shown(
    staging: Mapping[str, Any], found: Sequence[StagedArtifact], finished_at: datetime | None
) -> list[StagedArtifact]:
    """Return the artifacts that a staging shows, of those it ended with and the present ones."""
    failures, ended_with = staging["failures"] or {}, staging["artifact_ids"]
    since = {
        row.path: row.staging_id
        for row in found
        if finished_at and row.state == "staged" and row.staged_at and row.staged_at > finished_at
    }
    # The staging finished before this column existed: the rows with which it ended are not known.
    own = [row for row in found if ended_with is None or row.id in ended_with]
    return [
        replace(
            _failed(row, failures[row.id]) if row.id in failures else row,
            brought_since_by=since.get(row.path),
        )
        for row in own
    ]


def _failed(row: StagedArtifact, failure: Mapping[str, Any]) -> StagedArtifact:
    """Return the row as it was when it failed for a staging; later changes are not shown."""
    return replace(
        row,
        state="failed",
        phase=failure["phase"],
        bytes_done=failure["bytes_done"],
        bytes_total=failure["bytes_total"],
        bytes_per_second=None,
        failure=Failure(failure["code"], failure["message"] or "", failure["retryable"]),
        version=0,
    )


def _tag(version: int, shown: Sequence[StagedArtifact]) -> str:
    versions = [version, *([a.id, a.version, a.brought_since_by] for a in shown)]
    digest = hashlib.blake2b(json.dumps(versions).encode(), digest_size=_TAG_BYTES)
    return digest.hexdigest()


def _artifact(row: Mapping[str, Any]) -> StagedArtifact:
    return StagedArtifact(**_columns(row, _OF_ARTIFACT), failure=_failure(row))


def _columns(row: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(row[name])
        if name in _TIMES and row[name] is not None
        else row[name]
        for name in names
    }


def _failure(row: Mapping[str, Any]) -> Failure | None:
    code = row["error_code"]
    return (
        None if code is None else Failure(code, row["error_message"] or "", row["error_retryable"])
    )
