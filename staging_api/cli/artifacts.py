"""``staging-api artifacts``, ``pin`` and ``evict``: list staged artifacts, keep or remove them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated

import typer

from staging_api.cli.options import (
    ErrorCode,
    InState,
    Limit,
    OfArchive,
    Prefix,
    ServiceOptions,
    connected,
    of_service,
)
from staging_api.cli.output import in_columns, print_lines, print_rows
from staging_api.cli.pages import say_page
from staging_api.client import StagedArtifact, StagingClient
from staging_api.sizes import size

_OfName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only artifacts of this catalogue entry.")
]
_WithContent = Annotated[
    str | None,
    typer.Option(
        metavar="DIGEST", help="Only artifacts with this content, or with a file that has it."
    ),
]
_WithFile = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Only artifacts that are this file, or contain it."),
]
_ArtifactId = Annotated[str, typer.Argument(metavar="ID", help="ULID of a staged artifact.")]


@of_service()
def artifacts(
    service: ServiceOptions,
    artifact_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="ULID of an artifact, to show it with its files."),
    ] = None,
    *,
    archive_url: OfArchive = None,
    state: InState = None,
    name: _OfName = None,
    prefix: Prefix = None,
    error_code: ErrorCode = None,
    sha256: _WithContent = None,
    path: _WithFile = None,
    pinned: Annotated[bool, typer.Option("--pinned", help="Only artifacts pinned now.")] = False,
    limit: Limit = 20,
) -> None:
    """List artifacts, newest first; or show one artifact with its files and their digests."""
    with connected(service) as client:
        if artifact_id is not None:
            _show(client, artifact_id, service.as_json)
            say_page(client, f"/artifacts/{artifact_id}", as_json=service.as_json)
            return
        found = client.artifacts(
            archive_url=archive_url,
            prefix=prefix,
            state=state,
            name=name,
            error_code=error_code,
            sha256=sha256,
            path=path,
            pinned=pinned,
            page_size=limit,
        )
        items = list(islice(found, limit))
    document = {"items": [each.document for each in items]}
    print_rows(document, map(_row, items), "no artifacts", as_json=service.as_json)


@of_service()
def pin(
    service: ServiceOptions,
    artifact_id: _ArtifactId,
    *,
    days: Annotated[
        float | None, typer.Option(min=0, metavar="N", help="Pin it for this number of days.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Pin it until this time, in UTC."
        ),
    ] = None,
    release: Annotated[bool, typer.Option("--release", help="Unpin it.")] = False,
) -> None:
    """Protect a staged artifact from eviction, or end the protection."""
    if sum((days is not None, until is not None, release)) != 1:
        raise typer.BadParameter("give one of --days, --until and --release")
    moment = until.replace(tzinfo=UTC) if until else None
    if days is not None:
        try:
            moment = datetime.now(UTC) + timedelta(days=days)
        except (OverflowError, ValueError):
            # After the year 9999, or NaN, which the option accepts as a number.
            raise typer.BadParameter(f"--days {days:g} ends on no day of the calendar") from None
    with connected(service) as client:
        _print(client.pin(artifact_id, moment), service.as_json)


@of_service()
def evict(service: ServiceOptions, artifact_id: _ArtifactId) -> None:
    """Stop serving a staged artifact; a later request stages it again."""
    with connected(service) as client:
        _print(client.evict(artifact_id), service.as_json)


def _show(client: StagingClient, artifact_id: str, as_json: bool) -> None:
    artifact = client.artifact(artifact_id)
    files = list(client.files(artifact_id)) if artifact.state == "staged" else []
    document = {**artifact.document, "files": [file.document for file in files]}
    rows = in_columns((file.name, size(file.size_bytes), file.sha256) for file in files)
    lines = [*_lines(artifact), *(f"  {row}" for row in rows)]
    print_lines(document, lines, as_json=as_json)


def _print(artifact: StagedArtifact, as_json: bool) -> None:
    print_lines(artifact.document, _lines(artifact), as_json=as_json)


def _lines(artifact: StagedArtifact) -> Iterator[str]:
    yield f"{artifact.state} {artifact.name} of {artifact.archive_url} ({artifact.id})"
    if artifact.source_url:
        yield f"  from {artifact.source_url}"
    for word, time in (
        ("staged", artifact.staged_at),
        ("last read", artifact.last_accessed_at),
        ("pinned until", artifact.pinned_until),
        ("evicted", artifact.evicted_at),
    ):
        if time is not None:
            yield f"  {word} {time.isoformat(timespec='seconds')}"
    if artifact.sha256:
        yield f"  sha256 {artifact.sha256}"


def _row(artifact: StagedArtifact) -> tuple[str, ...]:
    pinned = "pinned" if artifact.pinned_until else ""
    where = artifact.url or artifact.path
    return artifact.id, artifact.state, pinned, size(artifact.size_bytes), artifact.name, where
