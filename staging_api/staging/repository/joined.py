"""Stagings with their artifacts in one statement: the most frequent question there is.

Asked of functions, whose plans are kept: see ``migrations/sql/0013_reading.sql``.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from staging_api.db.engine import rows
from staging_api.staging.model import Failure, StagedArtifact, Staging

#: Those of a list of ids, in its order.
BY_ID = "SELECT stagings_by_id(%(ids)s)"
#: The newest of an archive that asked for any of these names.
NEWEST = "SELECT staging_newest(%(archive_url)s, %(names)s)"

_OF_STAGING = [f.name for f in fields(Staging) if f.name not in {"failure", "artifacts"}]
_OF_ARTIFACT = [f.name for f in fields(StagedArtifact) if f.name != "failure"]
# JSON has no times.
_TIMES = {
    f.name
    for f in (*fields(Staging), *fields(StagedArtifact))
    if f.type in (datetime, datetime | None)
}


def read(conn: Connection, statement: str, parameters: Mapping[str, Any]) -> list[Staging]:
    """Run one of the statements above."""
    return [_staging(**told) for (told,) in rows(conn, statement, parameters)]


def _staging(staging: dict[str, Any], artifacts: list[dict[str, Any]] | None) -> Staging:
    columns = _columns(staging, _OF_STAGING)
    columns["waiting_for"] = tuple(columns["waiting_for"] or ())
    order = {name: place for place, name in enumerate(columns["requested"])}
    found = sorted(map(_artifact, artifacts or ()), key=lambda a: (order[a.name], a.path))
    return Staging(**columns, failure=_failure(staging), artifacts=tuple(found))


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
