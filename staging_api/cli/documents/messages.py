"""Messages of the service about documents, one line each."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from staging_api.cli.output import harmless

Message = Mapping[str, Any]

_COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}


def print_messages(messages: Sequence[Message]) -> None:
    """Print messages on standard error."""
    for each in messages:
        typer.echo(_line(each), err=True)


def diagnostic_of(message: Message) -> Mapping[str, Any]:
    """Return a fault's ``path``, ``line`` and ``collection``; empty for validators' messages."""
    try:
        found = json.loads(message.get("diagnostic") or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def undone_unless_confirmed(unconfirmed: Mapping[str, Any] | None) -> str:
    """Return the end of a sentence: when a commit is undone; empty if it is final.

    Args:
        unconfirmed: document with ``confirm_until``, unless the commit is final.
    """
    until = (unconfirmed or {}).get("confirm_until")
    return f", undone at {until} unless it is confirmed" if until else ""


def _line(message: Message) -> str:
    """Format a message as compilers do: file and line, level, description, document."""
    level = str(message.get("level") or ("Error" if message.get("error") else "Info")).lower()
    styled = typer.style(level, fg=_COLOURS.get(level))
    place = f"{message['place']}: " if message.get("place") else ""
    where = ", ".join(_named(message))
    text = f"{message.get('message')}{f' ({where})' if where else ''}"
    return f"{harmless(place)}{styled}: {harmless(text)}"


def _named(message: Message) -> list[str]:
    found = [f"{each['schema']} {each['name']}" for each in message.get("documents") or ()]
    diagnostic = diagnostic_of(message)
    if found and diagnostic.get("path") not in (None, "."):
        found[0] += f" {diagnostic['path']}"
    if "line" in diagnostic and not message.get("place"):
        collection = diagnostic.get("collection")
        of = f" of collection {collection}" if collection else ""
        found.append(f"line {diagnostic['line']}{of}")
    return found
