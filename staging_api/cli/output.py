"""Output of the verbs: results on standard output, everything else on standard error."""

import errno
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from staging_api.cli.cures import cure_of
from staging_api.cli.exits import INTERRUPTED, exit_code
from staging_api.cli.streams import takes
from staging_api.errors import Invalid, StagingApiError
from staging_api.sizes import size

if TYPE_CHECKING:  # only the client's verbs import it
    from staging_api.client import Lock, StagedArtifact, Staging

STOPPED_WAITING = "stopped waiting; `staging-api status` shows what the service is doing"
#: Characters that control a terminal, or reverse the text behind them (CVE-2021-42574), except line
#: breaks and tabs.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def say(text: str, *, err: bool = False) -> None:
    """Print an untrusted text, with characters that control a terminal escaped.

    A full disk under standard error, which has no results, is ignored.
    """
    try:
        typer.echo(harmless(text), err=err)
    except OSError as error:
        if not err or error.errno == errno.EPIPE:
            raise


def harmless(text: str) -> str:
    """Escape characters that control a terminal; call before styling, which adds such ones."""
    return _ACTING.sub(lambda found: ascii(found[0])[1:-1], text)


@contextmanager
def exit_on_error(as_json: bool, stopped: str = STOPPED_WAITING) -> Iterator[None]:
    """Print an error of the block, as text or JSON, and exit with its code.

    Args:
        as_json: print an error as one line of JSON.
        stopped: text to print at Ctrl-C, unless the interrupt itself has a text.
    """
    try:
        yield
    except StagingApiError as error:
        if as_json:
            print_json(_problem(error))
        else:
            say(_explained(error), err=True)
        raise SystemExit(exit_code(error)) from None
    except KeyboardInterrupt as interrupt:
        if text := str(interrupt) or stopped:
            say(text, err=True)
        raise SystemExit(INTERRUPTED) from None


def print_json(document: Mapping[str, Any]) -> None:
    """Print one line of JSON."""
    text = json.dumps(document, ensure_ascii=False)
    if not takes(text):
        text = json.dumps(document)
    typer.echo(_ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_staging(staging: "Staging", as_json: bool) -> None:
    """Print a staging and its artifacts."""
    if as_json:
        print_json(staging.document)
        return
    say(f"{staging.state} {staging.archive_url} ({staging.id})")
    rows = [_row(artifact) for artifact in staging.artifacts]
    for line in in_columns(rows):
        say(f"  {line}")
    for artifact in staging.artifacts:
        for warning in artifact.warnings:
            say(f"  {artifact.name}: {warning}")


def print_lock(lock: "Lock", as_json: bool) -> None:
    """Print one lock."""
    text = f"{lock.outcome or 'held'} {lock.kind} {lock.scope} ({lock.id})"
    print_lines(lock.document, [text], as_json=as_json)


def print_table(rows: Iterable[tuple[str, ...]], nothing: str, heading: Sequence[str] = ()) -> None:
    """Print rows in columns; without rows, print `nothing` on standard error.

    Args:
        rows: rows with the same number of cells.
        nothing: a word for "none", such as ``no locks``.
        heading: names of the columns.
    """
    table = list(rows)
    if not table:
        say(nothing, err=True)
        return
    for line in in_columns([tuple(heading), *table] if heading else table):
        say(line)


def print_rows(
    document: Mapping[str, Any],
    rows: Iterable[tuple[str, ...]],
    nothing: str,
    *,
    as_json: bool,
) -> None:
    """Print the document as JSON, or else its rows; without rows, print `nothing`."""
    if as_json:
        print_json(document)
    else:
        print_table(rows, nothing)


def print_lines(document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print the document as JSON, or else the lines that show it."""
    if as_json:
        print_json(document)
        return
    for line in lines:
        say(line)


def in_columns(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows as lines, each column as wide as its widest cell."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _row(artifact: "StagedArtifact") -> tuple[str, ...]:
    failure = artifact.error.message if artifact.error else ""
    where = artifact.url or failure
    if artifact.brought_since_by:
        where = f"{where} (brought since by {artifact.brought_since_by})".lstrip()
    return artifact.name, artifact.state, size(artifact.size_bytes), where, artifact.sha256 or ""


def _problem(error: StagingApiError) -> dict[str, Any]:
    document = {
        "code": error.code,
        "title": error.title,
        "detail": error.detail,
        "retryable": error.retryable,
        **error.extra,
    }
    if isinstance(error, Invalid) and error.errors:
        document["errors"] = [{"field": e.field, "message": e.message} for e in error.errors]
    return document


def _explained(error: StagingApiError) -> str:
    """Return an error as one line: the message, the fields, and the remedy."""
    # Errors of configdocs begin with their title.
    fields = error.errors if isinstance(error, Invalid) else ()
    ours = fields and all(each.field.startswith("STAGING_") for each in fields)
    title = "The settings are not valid" if ours else error.title
    titled = error.detail.startswith(error.title)
    text = error.detail if titled else f"{title}: {error.detail}"
    for each in fields:
        if each.message not in error.detail:
            text += f"; {each.field}: {each.message}"
    if cure := cure_of(error):
        text += f"; {cure}"
    for note in getattr(error, "__notes__", ()):
        text += f"; {note}"
    if request_id := error.extra.get("request_id"):
        text += f" (request {request_id})"
    return "staging-api: " + " ".join(text.split())
