"""Findings, changes and origins of documents as JSON; findings and origins for a terminal."""

from typing import Any

import typer

from staging_api.cli.output import harmless
from staging_api.documents.differences import DocumentChange
from staging_api.documents.folders import LocatedFinding
from staging_api.documents.model import Identity, Level
from staging_api.documents.paths import path_text
from staging_api.documents.rendering import Origin

_LEVEL_COLOURS = {Level.ERROR: typer.colors.RED, Level.WARNING: typer.colors.YELLOW}


def change_json(change: DocumentChange) -> dict[str, Any]:
    """Return a changed document as the service encodes it."""
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


def finding_line(located: LocatedFinding) -> str:
    """Format a finding as compilers do: file, line, level, and description."""
    finding = located.finding
    place = str(located.file) if located.file else ""
    if located.file and finding.line is not None:
        place += f":{finding.line}"
    level = typer.style(finding.level.value.lower(), fg=_LEVEL_COLOURS.get(finding.level))
    named = f"{finding.documents[0]}, " if finding.documents else ""
    field = f"{finding.path}: " if finding.path else ""
    text = f"{level}: {finding.fault.value}: {harmless(f'{named}{field}{finding.message}')}"
    return f"{harmless(place)}: {text}" if place else text


def finding_json(located: LocatedFinding) -> dict[str, Any]:
    """Return a finding as JSON."""
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
    """Return the origin of the value at a path as JSON."""
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
    """Return the origin of a value as cells of a row: where it was written, and the steps since."""
    steps = (f"{step.instruction} of {step.document.name}" for step in reversed(origin.steps))
    way = ", ".join(steps)
    secret = " (secret)" if origin.secret else ""
    return f"{origin.document} {path_text(origin.path)}{secret}", f"by {way}" if way else ""


def _identity_json(identity: Identity) -> dict[str, str | None]:
    return {**identity._asdict(), "layer": identity.layer or None}
