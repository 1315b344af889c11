"""``staging-api publish``: fill APT archives, publish them, and copy them to a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from staging_api.cli.output import in_columns, print_json, told
from staging_api.client import Publication, StagingClient
from staging_api.client.archives import Operation
from staging_api.errors import StagingApiError


class Action(StrEnum):
    """What to do: one of the three operations, or what goes before and after them."""

    PROCESS_ACCEPTED = "process-accepted"
    PUBLISH_DISTRO = "publish-distro"
    PUBLISH_FTPMASTER = "publish-ftpmaster"
    CREATE = "create"
    UPLOAD = "upload"
    LIST = "list"
    BACK = "back"
    EXPORT = "export"


Name = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Name of the archive.")]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE...|FOLDER|ID]",
        help="upload: packages; export: a folder or s3://...; back: a generation.",
    ),
]
Suites = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A suite; may be repeated. [default: stable, or all]"),
]
Components = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A component; may be repeated. [default: main]"),
]
Architectures = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="For create; may be repeated. [default: amd64]"),
]
Careful = Annotated[
    bool, typer.Option("--careful", help="Look at everything, not at what changed.")
]


def publish(
    action: Annotated[Action, typer.Argument()],
    archive: Name,
    arguments: Arguments = None,
    *,
    suite: Suites = None,
    component: Components = None,
    architecture: Architectures = None,
    careful: Careful = False,
    timeout: Timeout = 3600,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Run an operation of the publisher, or prepare one.

    While another operation runs this one waits for it, and says for which.
    """
    wish = _Wish(
        archive=archive,
        arguments=tuple(arguments or ()),
        suites=tuple(suite or ()),
        components=tuple(component or ()),
        architectures=tuple(architecture or ()),
        careful=careful,
        timeout=timeout,
        as_json=as_json,
    )
    with told(as_json), StagingClient(server, token=token, timeout=timeout) as client:
        _ACTIONS.get(action, _run)(client, action, wish)


@dataclass(frozen=True)
class _Wish:
    """What the command line says."""

    archive: str
    arguments: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    careful: bool
    timeout: float
    as_json: bool


def _run(client: StagingClient, action: Action, wish: _Wish) -> None:
    done = client.archives.publish(
        cast("Operation", action.value),
        wish.archive,
        timeout=wish.timeout,
        on_retry=_say_why,
        careful=wish.careful,
        suites=list(wish.suites),
    )
    if wish.as_json:
        print_json(done.document)
        return
    typer.echo(f"{done.state} {done.archive} ({done.id}): {_counts(done) or 'nothing to do'}")
    for note in done.notes:
        typer.echo(f"  {note}", err=True)


def _create(client: StagingClient, _action: Action, wish: _Wish) -> None:
    parts = {
        "components": list(wish.components or ("main",)),
        "architectures": list(wish.architectures or ("amd64",)),
    }
    suites = [{"name": name, **parts} for name in wish.suites or ("stable",)]
    made = client.archives.create(wish.archive, suites)
    _tell(made, f"{client.url}{made['url']}", wish)


def _upload(client: StagingClient, _action: Action, wish: _Wish) -> None:
    if not wish.arguments:
        raise typer.BadParameter("upload needs the packages to send")
    paths = [Path(file) for file in wish.arguments]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise typer.BadParameter(f"not a file: {', '.join(missing)}")
    suite, component = _one(wish.suites or ("stable",)), _one(wish.components or ("main",))
    sent = client.archives.upload(wish.archive, suite, paths, component=component)
    lines = in_columns((u.state, u.name, u.error_message or u.id) for u in sent)
    _tell({"items": [upload.document for upload in sent]}, "\n".join(lines), wish)


def _list(client: StagingClient, _action: Action, wish: _Wish) -> None:
    found = list(client.archives.publications(wish.archive))
    lines = in_columns(_row(run) for run in found)
    _tell({"items": [run.document for run in found]}, "\n".join(lines), wish)


def _back(client: StagingClient, _action: Action, wish: _Wish) -> None:
    document = client.archives.go_back(wish.archive, _one(wish.arguments))
    _tell(document, f"{wish.archive} is at {document['live']['number']}", wish)


def _export(client: StagingClient, _action: Action, wish: _Wish) -> None:
    count = client.archives.export(wish.archive, _one(wish.arguments), timeout=wish.timeout)
    _tell({"written": count}, f"{count} files written", wish)


#: What is not one of the three operations.
_ACTIONS = {
    Action.CREATE: _create,
    Action.UPLOAD: _upload,
    Action.LIST: _list,
    Action.BACK: _back,
    Action.EXPORT: _export,
}


def _one(given: tuple[str, ...]) -> str:
    if len(given) != 1:
        raise typer.BadParameter("exactly one FOLDER, ID, suite or component is needed here")
    return given[0]


def _tell(document: Mapping[str, Any], text: str, wish: _Wish) -> None:
    if wish.as_json:
        print_json(document)
    elif text:
        typer.echo(text)


def _row(run: Publication) -> tuple[str, ...]:
    began = run.started_at.isoformat(timespec="seconds")
    return run.id, run.operation, run.state, began, run.error_message or _counts(run)


def _counts(run: Publication) -> str:
    return ", ".join(f"{count} {name}" for name, count in run.counts.items())


def _say_why(error: StagingApiError, pause: float) -> None:
    running = error.extra.get("publication") or {}
    whose = f" ({running['operation']} of {running['archive']})" if running else ""
    typer.echo(f"{error.detail}{whose}; trying again in {pause:.0f} s", err=True)
