"""``staging-api locks``: list locks, and break one."""

from enum import StrEnum
from typing import Annotated

import typer

from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Token, quick
from staging_api.cli.output import exit_on_error, in_columns, print_json, print_lock
from staging_api.client import Lock


class Action(StrEnum):
    """What to do with locks."""

    LIST = "list"
    BREAK = "break"


def locks(
    action: Annotated[Action, typer.Argument(metavar="[list|break]")] = Action.LIST,
    lock_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="ULID of the lock to break.")
    ] = None,
    *,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why it is broken; kept for the audit.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="List every grant there was, with its outcome.")
    ] = False,
    scope: Annotated[
        str | None, typer.Option(metavar="SCOPE", help="With --all: only of this archive.")
    ] = None,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """List the locks that are held now, or break one.

    Later writes of the broken lock's holder are refused.
    """
    if action is Action.BREAK:
        if lock_id is None or reason is None:
            raise typer.BadParameter("break needs the ID of a lock, and --reason")
        with exit_on_error(as_json), quick(server, token) as client:
            print_lock(client.break_lock(lock_id, reason), as_json)
        return
    with exit_on_error(as_json), quick(server, token) as client:
        found = list(client.locks("all" if everything else "held", scope=scope))
    if as_json:
        print_json({"items": [lock.document for lock in found]})
    else:
        for line in in_columns(_row(lock) for lock in found):
            typer.echo(line)


def _row(lock: Lock) -> tuple[str, ...]:
    until = (lock.ended_at or lock.expires_at).isoformat(timespec="seconds")
    return lock.id, lock.outcome or "held", lock.kind, lock.scope, lock.holder, until
