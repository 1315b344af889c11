"""Pages of stagings and artifacts, filtered; each filter has an index.

A prefix of archive URLs is looked up in ``archives``, which has one row for each archive: by bytes,
since the collation of the database may order punctuation differently.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    any_,
    collate,
    column,
    exists,
    func,
    select,
    table,
)

from staging_api.db.tables import archives, staged_artifacts, stagings
from staging_api.staging.lists import ArtifactFilter, StagingFilter
from staging_api.staging.model import StagedArtifact, Staging
from staging_api.staging.repository.reading import artifact_of, with_artifacts
from staging_api.staging.repository.terms import LAST, now

# The view of all files, in packs or not.
_files = table(
    "staged_files", column("artifact_id", Text), column("path", Text), column("sha256", Text)
)


def list_stagings(
    conn: Connection,
    *,
    limit: int,
    after: str | None = None,
    only: StagingFilter = StagingFilter(),  # noqa: B008 - frozen
) -> list[Staging]:
    """Return stagings with ids below `after`, newest first."""
    query = _newest(select(stagings.c.id), stagings, limit, after)
    query = _matching(query, stagings, only.equal, only.prefix)
    if only.unfinished:
        query = query.where(stagings.c.finished_at.is_(None))
    if only.since is not None:
        query = query.where(stagings.c.created_at >= only.since)
    if only.until is not None:
        query = query.where(stagings.c.created_at < only.until)
    return with_artifacts(conn, conn.execute(query).scalars().all())


def list_artifacts(
    conn: Connection,
    *,
    limit: int,
    after: str | None = None,
    only: ArtifactFilter = ArtifactFilter(),  # noqa: B008 - frozen
) -> list[StagedArtifact]:
    """Return artifacts with ids below `after`, newest first."""
    query = _newest(select(staged_artifacts), staged_artifacts, limit, after)
    query = _matching(query, staged_artifacts, only.equal, only.prefix)
    if only.sha256 is not None:
        query = query.where(_has_content(only.sha256))
    if only.path is not None:
        query = query.where(_is_at(only.path))
    if only.pinned:
        query = query.where(_is_pinned())
    if only.newest:
        query = query.where(~_is_replaced())
    return [artifact_of(row) for row in conn.execute(query)]


def begins_with(url: Any, prefix: str) -> ColumnElement[bool]:
    """Return the condition that a URL begins with a prefix, in a form that can use an index."""
    plain = collate(url, "C")
    return and_(plain >= prefix, plain < prefix + LAST)


def _newest(query: Select[Any], table: Table, limit: int, after: str | None) -> Select[Any]:
    query = query.order_by(table.c.id.desc()).limit(limit)
    return query if after is None else query.where(table.c.id < after)


def _matching(
    query: Select[Any], table: Table, equal: Mapping[str, str], prefix: str | None
) -> Select[Any]:
    for name, value in equal.items():
        query = query.where(table.c[name] == value)
    if prefix:
        named = select(archives.c.archive_url).where(begins_with(archives.c.archive_url, prefix))
        query = query.where(table.c.archive_url.in_(named))
    return query


def _has_content(sha256: str) -> ColumnElement[bool]:
    return staged_artifacts.c.id.in_(
        select(staged_artifacts.c.id)
        .where(staged_artifacts.c.sha256 == sha256)
        .union_all(
            select(_files.c.artifact_id).where(_files.c.sha256 == sha256),
        )
    )


def _is_at(path: str) -> ColumnElement[bool]:
    """Return the condition that an artifact has this path, or a file with it.

    The path of an artifact begins with the folder of its archive, which has an index.
    """
    segments = path.split("/")
    folders = ["/".join(segments[:count]) for count in range(1, len(segments) + 1)]
    other = staged_artifacts.alias()
    own = (
        select(other.c.id)
        .join(archives, archives.c.archive_url == other.c.archive_url)
        .where(archives.c.static_prefix.in_(folders), other.c.path.in_([path, f"{path}/"]))
    )
    files = select(_files.c.artifact_id).where(collate(_files.c.path, "C") == path)
    return staged_artifacts.c.id.in_(own.union_all(files))


def _is_replaced() -> ColumnElement[bool]:
    later = staged_artifacts.alias("later")
    return exists().where(
        later.c.archive_url == staged_artifacts.c.archive_url,
        later.c.name == staged_artifacts.c.name,
        later.c.path == staged_artifacts.c.path,
        later.c.id > staged_artifacts.c.id,
    )


def _is_pinned() -> ColumnElement[bool]:
    """Return the condition that an artifact is pinned.

    As an array, which is computed first: few artifacts are pinned, and their index is not ordered
    by id.
    """
    other = staged_artifacts.alias()
    pinned = select(other.c.id).where(other.c.pinned_until > now())
    return staged_artifacts.c.id == any_(func.array(pinned.scalar_subquery()))
