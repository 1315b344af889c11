"""``staging-api locks``: list, watch and break locks."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Annotated

import typer

from staging_api.cli.exits import EXIT_CODES
from staging_api.cli.options import ServiceOptions, connected, of_service, verb_group
from staging_api.cli.output import harmless, in_columns, print_lock, print_rows
from staging_api.cli.pages import say_page
from staging_api.client import Lock

_LOOK_SECONDS = 2.0
_NONE = "no locks"
_MINUTE_SECONDS = 60

locks = verb_group(
    "List the locks that are held now, watch them, or break one.", no_args_is_help=False
)


@locks.callback(invoke_without_command=True, epilog=EXIT_CODES)
@of_service()
def list_locks(
    service: ServiceOptions,
    context: typer.Context,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="List all past grants, with their outcomes.")
    ] = False,
    scope: Annotated[
        str | None,
        typer.Option(metavar="SCOPE", help="Only locks of this archive, or of another scope."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only locks of this kind, such as archive.")
    ] = None,
    no_keys: Annotated[
        bool, typer.Option("--no-keys", help="Hide the locks of Idempotency-Keys.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh every two seconds, until Ctrl-C.")
    ] = False,
) -> None:
    """List the locks that are held now, with holder, purpose and start; or break a lock.

    With --watch on a terminal the list is redrawn in place; elsewhere, and with --json, it is
    printed again whenever a lock was taken or has ended.
    """
    # Typer calls this function before an action, too.
    if context.invoked_subcommand is not None:
        return
    if watch and everything:
        raise typer.BadParameter("--watch shows the locks that are held, --all the history")
    # Ctrl-C is the regular end of --watch: nothing is printed.
    with connected(service, stopped="") as client:
        look = partial(
            client.locks, scope=scope, kind=kind, except_kind="idempotency" if no_keys else None
        )
        if watch:
            _watch(look, as_json=service.as_json)
        found = list(look("all" if everything else "held"))
    _print(found, as_json=service.as_json)


@locks.command("break", epilog=EXIT_CODES)
@of_service()
def break_lock(
    service: ServiceOptions,
    lock_id: Annotated[str, typer.Argument(metavar="ID", help="ULID of the lock.")],
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Reason for breaking it; kept for the audit.")
    ],
) -> None:
    """Take a lock from its holder, whose later writes are refused; for operators."""
    with connected(service) as client:
        print_lock(client.break_lock(lock_id, reason), service.as_json)
        say_page(client, f"/locks/{lock_id}", as_json=service.as_json)


@locks.command(epilog=EXIT_CODES)
@of_service()
def waiters(
    service: ServiceOptions,
    lock_id: Annotated[str, typer.Argument(metavar="ID", help="ULID of the lock.")],
) -> None:
    """List the requests that wait for a held lock, in the order of the queue."""
    with connected(service) as client:
        found = list(client.waiters(lock_id))
    rows = ((each["caller"], each["holder"], each["waits_since"] or "") for each in found)
    print_rows({"items": found}, rows, "no waiters", as_json=service.as_json)


def _watch(look: Callable[[], Iterator[Lock]], *, as_json: bool) -> None:
    """Show the locks until an error or Ctrl-C."""
    with _screen(as_json=as_json) as show:
        for turn in count():
            if turn:
                time.sleep(_LOOK_SECONDS)
            show(list(look()))


@contextmanager
def _screen(*, as_json: bool) -> Iterator[Callable[[Sequence[Lock]], None]]:
    # Rich is imported for --watch alone: the other verbs start without it.
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    if as_json or not console.is_terminal:
        yield _Changes(as_json=as_json)
        return
    with Live(console=console, auto_refresh=False) as live:

        def draw(found: Sequence[Lock]) -> None:
            lines = "\n".join(map(harmless, in_columns(map(_row, found)))) or _NONE
            live.update(Text(lines, no_wrap=True, overflow="ellipsis"), refresh=True)

        yield draw


class _Changes:
    """Prints the list at first, and whenever its locks have changed."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._shown: list[str] | None = None

    def __call__(self, found: Sequence[Lock]) -> None:
        ids = [lock.id for lock in found]
        if ids != self._shown:
            self._shown = ids
            _print(found, as_json=self._as_json)


def _print(found: Sequence[Lock], *, as_json: bool) -> None:
    document = {"items": [lock.document for lock in found]}
    print_rows(document, map(_row, found), _NONE, as_json=as_json)


def _row(lock: Lock) -> tuple[str, ...]:
    until = (lock.ended_at or lock.expires_at).isoformat(timespec="seconds")
    age = _for((lock.ended_at or datetime.now(UTC)) - lock.acquired_at)
    waiting = f"{lock.waiters} wait" if lock.waiters else ""
    state = lock.outcome or "held"
    return lock.id, state, lock.kind, lock.scope, lock.holder, age, until, waiting


def _for(time_held: timedelta) -> str:
    """Return a duration, rounded, as the clocks of this machine and the database may differ."""
    seconds = max(0, round(time_held.total_seconds()))
    if seconds < _MINUTE_SECONDS:
        return f"for {seconds} s"
    minutes, seconds = divmod(seconds, _MINUTE_SECONDS)
    return f"for {minutes} min {seconds} s" if minutes < _MINUTE_SECONDS else _hours(minutes)


def _hours(minutes: int) -> str:
    return f"for {minutes // _MINUTE_SECONDS} h {minutes % _MINUTE_SECONDS} min"
