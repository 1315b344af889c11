"""Print changes of documents, which a service or a folder gives as JSON.

A verb of the client uses this module, so it must not import the engine of documents.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import typer

from staging_api.cli.output import harmless

#: Exit code of a comparison that found a difference, as in `diff` and similar programs.
DIFFERENT = 1

_COLOURS = {
    "created": typer.colors.GREEN,
    "deleted": typer.colors.RED,
    "modified": typer.colors.YELLOW,
}
_SIGNS = {"created": "+", "deleted": "-", "modified": "~"}
_UNIFIED_COLOURS = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
#: Characters of a value on one line of a comparison.
_VALUE_LENGTH = 200


def print_changes(changes: Sequence[Mapping[str, Any]], *, unified: bool = False) -> None:
    """Print changes by collection, document and path, in colours on a terminal."""
    # `groupby` needs sorted input; changes are sorted by collection.
    for collection, of_collection in groupby(changes, key=lambda each: each["collection"]):
        typer.echo(typer.style(harmless(f"collection {collection}"), bold=True))
        for each in of_collection:
            moved = f", moved from {each['moved_from']}" if each["moved_from"] else ""
            line = harmless(f"  {each['change']} {_named(each['document'])}{moved}")
            typer.echo(typer.style(line, fg=_COLOURS.get(each["change"])))
            for below in _unified_lines(each["text"]) if unified else _path_lines(each["paths"]):
                typer.echo(f"    {below}")


def _named(document: Mapping[str, Any]) -> str:
    on_layer = f" on layer {document['layer']}" if document["layer"] else ""
    return f"{document['schema']} {document['name']}{on_layer}"


def _path_lines(paths: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in paths:
        line = f"{_SIGNS.get(each['change'], '?')} {each['path']}: {_values(each)}"
        yield typer.style(harmless(line), fg=_COLOURS.get(each["change"]))


def _values(change: Mapping[str, Any]) -> str:
    if change["change"] == "created":
        return _shown(change["new"])
    if change["change"] == "deleted":
        return _shown(change["old"])
    return f"{_shown(change['old'])} -> {_shown(change['new'])}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _VALUE_LENGTH else f"{text[:_VALUE_LENGTH]}..."


def _unified_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield typer.style(harmless(line), fg=_UNIFIED_COLOURS.get(line[:1]))
