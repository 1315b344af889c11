"""``staging-api``: a table of verbs; only the module of the given verb is imported.

The service's verbs import the whole service; the client's verbs do not, because they must start
quickly.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import typer

from staging_api.cli.exits import EXIT_CODES
from staging_api.cli.extras import needing
from staging_api.cli.importing import without_collection
from staging_api.cli.output import exit_on_error
from staging_api.cli.streams import standard_streams
from staging_api.environment import words_to_complete


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        module: module with a function of the verb's name, or a group of actions.
        line: its line in the list of verbs.
        extra: extra of the package that the module needs; "" for a client's verb.
    """

    module: str
    line: str
    extra: str = "server"


VERBS: Mapping[str, Verb] = {
    "serve": Verb("serve", "Run the API, and on the embedded default a worker"),
    "api": Verb("serve", "Run only the API processes"),
    "worker": Verb("worker", "Run a worker"),
    "migrate": Verb("migrate", "Bring the database to this version's schema"),
    "check": Verb("check", "Check the settings, and start nothing"),
    "rotate-keys": Verb("rotate_keys", "Seal encrypted documents with the current key"),
    "token": Verb("token", "Create a token for a caller"),
    "prune": Verb("prune", "Evict unread artifacts, drop old history and events"),
    "adopt-store": Verb("adopt_store", "Bind the mounted store to the database"),
    "stage": Verb("stage", "Stage artifacts of an archive, and wait for them", extra=""),
    "get": Verb("get", "Stage artifacts, and download their files to a folder", extra=""),
    "wait": Verb("wait", "Wait for a staging", extra=""),
    "status": Verb("status", "Show a staging, or the newest ones", extra=""),
    "cancel": Verb("cancel", "Stop a staging", extra=""),
    "documents": Verb("documents", "Buffer, review and commit configuration documents", extra=""),
    "publish": Verb("publish", "Fill, publish and copy APT archives", extra=""),
    "artifacts": Verb("artifacts", "Show what is staged, with digests", extra=""),
    "pin": Verb("artifacts", "Keep a staged artifact from being evicted", extra=""),
    "evict": Verb("artifacts", "Stop serving a staged artifact", extra=""),
    "events": Verb("events", "Follow the changes of a staging, or list all", extra=""),
    "builds": Verb("builds", "Show which archives were requested", extra=""),
    "store": Verb("store", "Show how full the store is, and prune it", extra=""),
    "processes": Verb("processes", "Show which processes of the service run", extra=""),
    "me": Verb("processes", "Show your name and roles", extra=""),
    "catalogue": Verb("catalogue", "Show possible artifacts, and test a catalogue", extra=""),
    "locks": Verb("locks", "Show held locks, and break a lock", extra=""),
    "psql": Verb("psql", "Open PostgreSQL's shell on the service's database"),
    "demo": Verb("demo", "Stage a build on this machine, from end to end", extra="embedded"),
    "audit": Verb("audit", "Answer auditors' questions, and verify the record"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends by `SystemExit` with one of the documented codes."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    with standard_streams(), exit_on_error(as_json=False):
        _application(given)(given, prog_name="staging-api")


def _application(given: Sequence[str]) -> typer.Typer:
    application = typer.Typer(
        callback=_root,
        no_args_is_help=True,
        epilog=EXIT_CODES,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    words = [*given, *words_to_complete()]
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, verb in VERBS.items():
        loaded = _loaded(name, verb) if name == chosen else _named(verb.line)
        if isinstance(loaded, typer.Typer):
            application.add_typer(loaded, name=name, epilog=EXIT_CODES)
        else:
            application.command(name, epilog=EXIT_CODES)(loaded)
    return application


def _loaded(name: str, verb: Verb) -> Callable[..., None] | typer.Typer:
    """Return the verb's function or its actions.

    Raises:
        ExtraNotInstalled: the verb's extra is missing.
    """
    needed = needing(verb.extra, name) if verb.extra else nullcontext()
    with without_collection(), needed:
        module = import_module(f"staging_api.cli.{verb.module}")
    function: Callable[..., None] | typer.Typer = getattr(module, name.replace("-", "_"))
    return function


def _named(line: str) -> Callable[[], None]:
    """Return a placeholder for a verb that is only listed."""

    def verb() -> None:
        # Listed, never called: only the module of the given verb is loaded.
        raise AssertionError

    verb.__doc__ = line
    return verb


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"staging-api {version('staging_api')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Stage a build's artifacts exactly once, however many pods and clients ask."""
