"""``staging-api``: a table of verbs, of which only the one that is asked for is loaded.

The verbs of the service import all of it; those of a client must start at once and do not.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

import typer

from staging_api.cli.exits import EXIT_CODES
from staging_api.cli.output import told

#: Verb -> the module that has a function of this name, and its line in the list of verbs.
VERBS: Mapping[str, tuple[str, str]] = {
    "serve": ("staging_api.cli.serve", "Run the API, and on the embedded default a worker"),
    "api": ("staging_api.cli.serve", "Run only the API processes"),
    "worker": ("staging_api.cli.worker", "Run a worker"),
    "migrate": ("staging_api.cli.migrate", "Bring the database to this version's schema"),
    "check": ("staging_api.cli.check", "Check the settings, and start nothing"),
    "rotate-keys": (
        "staging_api.cli.rotate_keys",
        "Seal encrypted documents with the current key",
    ),
    "token": ("staging_api.cli.token", "Make a credential for a caller"),
    "prune": ("staging_api.cli.prune", "Evict what nobody reads, drop old history and events"),
    "adopt-store": ("staging_api.cli.adopt_store", "Let the mounted store be that of the database"),
    "stage": ("staging_api.cli.stage", "Stage artifacts of an archive, and wait for them"),
    "wait": ("staging_api.cli.wait", "Wait for a staging"),
    "status": ("staging_api.cli.status", "Show a staging, or the newest ones"),
    "cancel": ("staging_api.cli.cancel", "Stop a staging"),
    "documents": (
        "staging_api.cli.documents",
        "Buffer, review and commit configuration documents",
    ),
    "publish": ("staging_api.cli.publish", "Fill, publish and copy APT archives"),
    "locks": ("staging_api.cli.locks", "Show who holds what, and break a lock"),
    "audit": ("staging_api.cli.audit", "Prove that the record of events is whole"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends by `SystemExit` with one of the documented codes."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    with told(as_json=False):
        _application(given)(given, prog_name="staging-api")


def _application(given: Sequence[str]) -> typer.Typer:
    application = typer.Typer(
        callback=_root,
        no_args_is_help=True,
        epilog=EXIT_CODES,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    asked = next((word for word in given if not word.startswith("-")), None)
    for verb, (module, line) in VERBS.items():
        name = verb.replace("-", "_")
        loaded = getattr(import_module(module), name) if verb == asked else _named(line)
        application.command(verb, epilog=EXIT_CODES)(loaded)
    return application


def _named(line: str) -> Callable[[], None]:
    """What stands in the list of verbs for one that is not asked for."""

    def verb() -> None:
        raise AssertionError

    verb.__doc__ = line
    return verb


def _root() -> None:
    """Stage a build's artifacts exactly once, however many pods and clients ask."""
