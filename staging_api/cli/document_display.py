"""How findings, changes and origins of documents look on a terminal, and as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import typer

from staging_api.documents.differences import Change, DocumentChange, PathChange
from staging_api.documents.folders import Located
from staging_api.documents.model import Identity, Level
from staging_api.documents.paths import parse_path, path_text
from staging_api.documents.rendering import Origin

_COLOURS = {
    Change.CREATED: typer.colors.GREEN,
    Change.DELETED: typer.colors.RED,
    Change.MODIFIED: typer.colors.YELLOW,
}
_SIGNS = {Change.CREATED: "+", Change.DELETED: "-", Change.MODIFIED: "~"}
_LEVEL_COLOURS = {Level.ERROR: typer.colors.RED, Level.WARNING: typer.colors.YELLOW}
#: Characters of a value that a line of a comparison shows.
_VALUE_LENGTH = 200


def print_changes(changes: Sequence[DocumentChange], *, unified: bool = False) -> None:
    """Print changes by collection, document and path, in colours on a terminal."""
    for collection, of_collection in groupby(changes, key=lambda each: each.collection):
        typer.echo(typer.style(f"collection {collection}", bold=True))
        for each in of_collection:
            moved = f", moved from {each.moved_from}" if each.moved_from else ""
            line = f"  {each.change} {each.document}{moved}"
            typer.echo(typer.style(line, fg=_COLOURS[each.change]))
            for below in _unified_lines(each) if unified else _path_lines(each):
                typer.echo(f"    {below}")


def change_json(change: DocumentChange) -> dict[str, Any]:
    """A changed document, as JSON."""
    return {
        "collection": change.collection,
        "document": _identity_json(change.document),
        "change": change.change.value,
        "moved_from": change.moved_from,
        "paths": [
            {
                "path": path_text(each.path),
                "change": each.change.value,
                "old": each.old,
                "new": each.new,
            }
            for each in change.paths
        ],
        "text": change.text,
    }


def change_of(told: Mapping[str, Any]) -> DocumentChange:
    """A changed document, from the JSON of the service."""
    named = told["document"]
    return DocumentChange(
        collection=told["collection"],
        document=Identity(named["schema"], named["layer"] or "", named["name"]),
        change=Change(told["change"]),
        paths=tuple(
            PathChange(parse_path(each["path"]), Change(each["change"]), each["old"], each["new"])
            for each in told["paths"]
        ),
        moved_from=told["moved_from"],
        text=told["text"],
    )


def finding_line(located: Located) -> str:
    """A finding as compilers write theirs: file, line, level, and what it is."""
    finding = located.finding
    place = str(located.file) if located.file else ""
    if located.file and finding.line is not None:
        place += f":{finding.line}"
    level = typer.style(finding.level.value.lower(), fg=_LEVEL_COLOURS.get(finding.level))
    named = f"{finding.documents[0]}, " if finding.documents else ""
    field = f"{finding.path}: " if finding.path else ""
    text = f"{level}: {finding.fault.value}: {named}{field}{finding.message}"
    return f"{place}: {text}" if place else text


def finding_json(located: Located) -> dict[str, Any]:
    """A finding, as JSON."""
    finding = located.finding
    return {
        "file": str(located.file) if located.file else None,
        "line": finding.line,
        "level": finding.level.value,
        "fault": finding.fault.value,
        "message": finding.message,
        "documents": [_identity_json(each) for each in finding.documents],
        "path": finding.path,
        "diagnostic": dict(finding.diagnostic),
    }


def origin_json(path: str, origin: Origin) -> dict[str, Any]:
    """Where the value at a path came from, as JSON."""
    return {
        "path": path,
        "document": _identity_json(origin.document),
        "written_at": path_text(origin.path),
        "secret": origin.secret,
        "steps": [
            {"document": _identity_json(step.document), "instruction": step.instruction}
            for step in reversed(origin.steps)
        ],
    }


def origin_cells(origin: Origin) -> tuple[str, ...]:
    """Where a value came from, as cells of a line: written where, then by which steps."""
    steps = (f"{step.instruction} of {step.document.name}" for step in reversed(origin.steps))
    way = ", ".join(steps)
    secret = " (secret)" if origin.secret else ""
    return f"{origin.document} {path_text(origin.path)}{secret}", f"by {way}" if way else ""


def _path_lines(change: DocumentChange) -> Iterator[str]:
    for each in change.paths:
        line = f"{_SIGNS[each.change]} {path_text(each.path)}: {_values(each)}"
        yield typer.style(line, fg=_COLOURS[each.change])


def _values(change: PathChange) -> str:
    if change.change is Change.CREATED:
        return _shown(change.new)
    if change.change is Change.DELETED:
        return _shown(change.old)
    return f"{_shown(change.old)} -> {_shown(change.new)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _VALUE_LENGTH else f"{text[:_VALUE_LENGTH]}..."


def _unified_lines(change: DocumentChange) -> Iterator[str]:
    colours = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
    for line in change.text.splitlines():
        yield typer.style(line, fg=colours.get(line[:1]))


def _identity_json(identity: Identity) -> dict[str, str]:
    return identity._asdict()
