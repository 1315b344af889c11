"""``staging-api documents``: buffer, review, commit and roll back configuration documents.

Importing this package must not import the engine of documents, which the base install lacks.
"""

from collections.abc import Callable, Mapping
from typing import Any

from staging_api.cli.documents import changing, reading, reviewing
from staging_api.cli.exits import EXIT_CODES
from staging_api.cli.options import verb_group

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

documents = verb_group(
    "Buffer, review and commit configuration documents, and go back to older ones."
)
for _name, _action in _ACTIONS.items():
    documents.command(_name, epilog=EXIT_CODES)(_action)
