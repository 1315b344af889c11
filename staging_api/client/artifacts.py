"""Calls about staged artifacts, and about the catalogue of artifacts that can be staged."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from staging_api.client.calls import (
    PAGE_SIZE,
    Calls,
    idempotency_key,
    time_text,
    understood,
    with_query,
)
from staging_api.client.fetching import staged_names
from staging_api.client.model import StagedArtifact, StagedFile


def artifacts(
    calls: Calls,
    /,
    *,
    archive_url: str | None = None,
    prefix: str | None = None,
    state: str | None = None,
    name: str | None = None,
    error_code: str | None = None,
    sha256: str | None = None,
    path: str | None = None,
    pinned: bool = False,
    page_size: int = PAGE_SIZE,
) -> AsyncIterator[StagedArtifact]:
    """Yield all artifacts with these properties, newest first, fetching pages as needed.

    Args:
        archive_url: URL of the archive, in any spelling.
        prefix: beginning of the archive_url.
        state: state of the artifact, such as ``staged``.
        name: name of the catalogue entry.
        error_code: code of its failure.
        sha256: digest of its object, or of one of its files.
        path: its own path, or that of one of its files: below ``/static``, or as a URL.
        pinned: only artifacts that are pinned now.
        page_size: artifacts for each request, 1 to 1000.
    """
    query = {
        "archive_url": archive_url,
        "prefix": prefix,
        "state": state,
        "name": name,
        "error_code": error_code,
        "sha256": sha256,
        "path": path,
        "pinned": "true" if pinned else None,
    }
    return calls.pages(StagedArtifact.of, "/artifacts", query, page_size)


async def artifact(calls: Calls, /, artifact_id: str) -> StagedArtifact:
    """Return an artifact, with its source and times.

    Raises:
        NotFound: there is no such artifact.
    """
    path = f"/artifacts/{quote(artifact_id, '')}"
    return await calls.answer(StagedArtifact.of, "GET", path)


def files(
    calls: Calls, /, artifact_id: str, *, page_size: int = PAGE_SIZE
) -> AsyncIterator[StagedFile]:
    """Yield the files of a staged artifact with their digests, ordered by path.

    Raises:
        NotFound: there is no such artifact, or it is not staged now.
    """
    path = f"/artifacts/{quote(artifact_id, '')}/files"
    return calls.pages(StagedFile.of, path, {}, page_size)


async def evict(calls: Calls, /, artifact_id: str) -> StagedArtifact:
    """Stop serving an artifact; its row stays as history.

    Raises:
        NotFound: there is no such artifact, or it is not staged.
        Conflict: the artifact is pinned.
    """
    path = f"/artifacts/{quote(artifact_id, '')}"
    return await calls.answer(StagedArtifact.of, "DELETE", path)


async def pin(calls: Calls, /, artifact_id: str, until: datetime | None) -> StagedArtifact:
    """Keep an artifact from being evicted.

    Args:
        artifact_id: ULID of the artifact.
        until: a time with a zone; None unpins it.

    Raises:
        NotFound: there is no such artifact, or it is evicted already.
    """
    path = f"/artifacts/{quote(artifact_id, '')}/pin"
    body = {"until": time_text(until)}
    return await calls.answer(StagedArtifact.of, "POST", path, body, idempotency_key())


async def catalogues(calls: Calls, /, archive_url: str | None = None) -> list[Mapping[str, Any]]:
    """Return all catalogues, with the artifacts that archives can have; or that of one archive.

    Raises:
        Invalid: the archive_url is malformed.
        SourceNotAllowed: the archive is outside the service's allow-list.
    """
    found = await calls.answer(dict, "GET", with_query("/catalogue", {"archive_url": archive_url}))
    with understood():
        return list(found["items"])


async def artifact_names(
    calls: Calls, /, archive_url: str, words: Sequence[str] | None = None
) -> list[str]:
    """Return the artifacts that names, groups and aliases stand for; None is the default."""
    return staged_names(await catalogues(calls, archive_url), words)


async def check_catalogue(
    calls: Calls, /, archive_url: str, catalogue: str | None = None
) -> Mapping[str, Any]:
    """Try a catalogue on an archive: the objects of each entry, and those that no entry finds.

    Args:
        archive_url: the archive; only the list of its objects is read.
        catalogue: the text of a catalogue file; None tries the service's own.

    Raises:
        Invalid: the catalogue is wrong; the message has the line.
        ArchiveNotFound: the archive does not exist.
        SourceFailed: the archive cannot be listed.
    """
    body = {"archive_url": archive_url, "catalogue": catalogue}
    return await calls.answer(dict, "POST", "/catalogue/check", body)
