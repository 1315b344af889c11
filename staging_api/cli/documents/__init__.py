"""``staging-api documents``: buffer, review and commit configuration documents, and go back.

Importing it must not import the engine of documents, which the base install lacks.
"""

from collections.abc import Callable, Mapping
from typing import Any

import typer

from staging_api.cli.documents import changing, reading, reviewing
from staging_api.cli.exits import EXIT_CODES

_ACTIONS: Mapping[str, Callable[..., Any]] = {
    "create": changing.create,
    "status": reading.status,
    "get": reading.get,
    "lint": reviewing.lint,
    "render": reviewing.render,
    "diff": reviewing.diff,
    "why": reviewing.why,
    "uses": reviewing.uses,
    "commit": changing.commit,
    "confirm": changing.confirm,
    "discard": changing.discard,
    "rollback": changing.rollback,
    "tag": changing.tag,
    "site-action": changing.site_action,
    "history": reading.history,
}

documents = typer.Typer(
    help="Buffer, review and commit configuration documents, and go back to older ones.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _action in _ACTIONS.items():
    documents.command(_name, epilog=EXIT_CODES)(_action)
