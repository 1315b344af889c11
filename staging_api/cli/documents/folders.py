"""Documents in folders, without a server: lint, render, compare, and explain them."""

from pathlib import Path
from typing import NoReturn

import typer

from staging_api.cli.documents.changes import DIFFERENT, print_changes
from staging_api.cli.documents.display import (
    change_json,
    finding_json,
    finding_line,
    origin_cells,
    origin_json,
)
from staging_api.cli.exits import REFUSED
from staging_api.cli.output import in_columns, print_json, print_lines
from staging_api.documents.differences import compare
from staging_api.documents.folders import (
    STANDARD_INPUT,
    Folder,
    LocatedFinding,
    check_folder,
    has_errors,
    read_folder,
)
from staging_api.documents.model import Identity, Level
from staging_api.documents.paths import MISSING, PathInvalid, get, parse_path, path_text
from staging_api.documents.provenance import users, why
from staging_api.documents.redaction import redacted
from staging_api.documents.rendering import RenderedDocument, Rendering
from staging_api.documents.text import dump
from staging_api.errors import Invalid, NotFound


def lint(folder: Path, *, as_json: bool) -> None:
    """Check a folder as the service checks a buffer; exit with `REFUSED` if there are errors."""
    _, findings = check_folder(_opened(folder))
    if as_json:
        print_json({"findings": [finding_json(each) for each in findings]})
    else:
        for each in findings:
            typer.echo(finding_line(each))
        errors = sum(each.finding.level is Level.ERROR for each in findings)
        typer.echo(f"{errors} errors, {len(findings) - errors} warnings")
    if has_errors(findings):
        raise typer.Exit(REFUSED)


def render_folder(folder: Path, *, secrets: bool, as_json: bool) -> None:
    """Print the rendered documents; secrets are masked unless `secrets`."""
    rendering = _rendered(folder, as_json=as_json)
    values = [each.value if secrets else redacted(each, rendering) for each in rendering.documents]
    if as_json:
        print_json({"documents": values})
    else:
        typer.echo(dump(values), nl=False)


def diff(
    old: Path, new: Path, *, rendered: bool, unified: bool, secrets: bool, as_json: bool
) -> None:
    """Print the differences between two folders; exit with 1 if there are any."""
    if rendered:
        before, after = (_rendered(each, as_json=as_json).documents for each in (old, new))
        changes = compare(before, after, reveal=secrets)
    else:
        posted = [_sound(_opened(each), as_json=as_json).documents for each in (old, new)]
        changes = compare(posted[0], posted[1], reveal=secrets)
    shown = [change_json(each) for each in changes]
    if as_json:
        print_json({"changes": shown})
    else:
        print_changes(shown, unified=unified)
    if shown:
        raise typer.Exit(DIFFERENT)


def check_there(folder: Path) -> None:
    """Refuse a missing folder or file, before its absence is reported as another fault."""
    if folder != STANDARD_INPUT and not folder.exists():
        raise NotFound(f"there is no folder or file {folder}")


def explain(folder: Path, schema: str, name: str, path: str, *, as_json: bool) -> None:
    """Print the origins of a rendered document's values, or of one value."""
    rendering = _rendered(folder, as_json=as_json)
    found = _document(rendering, schema, name)
    try:
        place = parse_path(path)
    except PathInvalid as error:
        raise Invalid.field("path", str(error)) from None
    if get(found.data, place) is MISSING:
        raise NotFound(f"{found.document.identity} has nothing at {path_text(place)}")
    origins = [(path_text(at), origin) for at, origin in why(found, place)]
    document = {"origins": [origin_json(at, origin) for at, origin in origins]}
    lines = in_columns((at, *origin_cells(origin)) for at, origin in origins)
    print_lines(document, lines, as_json=as_json)


def show_users(folder: Path, schema: str, name: str, *, as_json: bool) -> None:
    """Print the documents that a change of one document affects."""
    rendering = _rendered(folder, as_json=as_json)
    named = [
        each.document.identity
        for each in rendering.everything
        if (each.document.schema, each.document.name) == (schema, name)
    ]
    if not named:
        raise NotFound(f"there is no document {schema} {name}")
    touched: list[Identity] = []
    for identity in named:
        touched += (user for user in users(rendering, identity) if user not in touched)
    document = {"users": [user._asdict() for user in touched]}
    print_lines(document, map(str, touched), as_json=as_json)


def _opened(folder: Path) -> Folder:
    check_there(folder)
    return read_folder(folder)


def _rendered(folder: Path, *, as_json: bool) -> Rendering:
    rendering, findings = check_folder(_opened(folder))
    if rendering is None:
        _refuse(findings, as_json=as_json)
    return rendering


def _sound(folder: Folder, *, as_json: bool) -> Folder:
    if folder.findings:
        _refuse(folder.findings, as_json=as_json)
    return folder


def _refuse(findings: tuple[LocatedFinding, ...], *, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"findings": [finding_json(each) for each in findings]})
    else:
        for each in findings:
            typer.echo(finding_line(each), err=True)
    raise typer.Exit(REFUSED)


def _document(rendering: Rendering, schema: str, name: str) -> RenderedDocument:
    found = rendering.get(schema, name)
    if found is None:
        raise NotFound(f"there is no rendered document {schema} {name}")
    return found
