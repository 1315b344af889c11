"""``staging-api publish``: fill APT archives, publish them, and copy them to a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from staging_api.cli.exits import REFUSED
from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from staging_api.cli.output import exit_on_error, in_columns, print_json
from staging_api.client import PublisherRun, StagingClient
from staging_api.errors import NotFound, StagingApiError
from staging_api.vocabulary.publishing import CURRENT_PUBLICATION_STATES, Operation


class Action(StrEnum):
    """What to do: one of the three operations, or what goes before and after them."""

    PROCESS_ACCEPTED = "process-accepted"
    PUBLISH_DISTRO = "publish-distro"
    PUBLISH_FTPMASTER = "publish-ftpmaster"
    CREATE = "create"
    UPLOAD = "upload"
    LIST = "list"
    PACKAGES = "packages"
    REMOVE = "remove"
    GENERATIONS = "generations"
    BACK = "back"
    HOLD = "hold"
    LIFT = "lift"
    EXPORT = "export"


Name = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Name of the archive.")]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE...|FOLDER|ID|PACKAGE[=VERSION]...]",
        help="upload: files; export: a folder or s3://...; back: a generation; remove: packages.",
    ),
]
Suites = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A suite; may be repeated. [default: stable, or all]"),
]
Components = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A component; may be repeated. [default: the server's]"),
]
Architectures = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="For create; may be repeated. [default: the server's]"),
]
Careful = Annotated[
    bool, typer.Option("--careful", help="Look at everything, not at what changed.")
]


Reason = Annotated[str, typer.Option(metavar="TEXT", help="For remove, back and hold: why.")]


def publish(
    action: Annotated[Action, typer.Argument()],
    archive: Name,
    arguments: Arguments = None,
    *,
    suite: Suites = None,
    component: Components = None,
    architecture: Architectures = None,
    careful: Careful = False,
    reason: Reason = "",
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
        reason=reason,
        timeout=timeout,
        as_json=as_json,
    )
    with exit_on_error(as_json), StagingClient(server, token=token, timeout=timeout) as client:
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
    reason: str
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
    given = {"components": wish.components, "architectures": wish.architectures}
    parts = {name: list(values) for name, values in given.items() if values}
    suites = [{"name": name, **parts} for name in wish.suites or ("stable",)]
    made = client.archives.create(wish.archive, suites)
    _tell(made, f"{client.url}{made['url']}", wish)


def _upload(client: StagingClient, _action: Action, wish: _Wish) -> None:
    if not wish.arguments:
        raise typer.BadParameter("upload needs the packages to send")
    paths = [Path(file) for file in wish.arguments]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise typer.BadParameter(f"not a file: {', '.join(missing)}")
    suite = _one(wish.suites or ("stable",))
    component = _one(wish.components) if wish.components else None
    sent = client.archives.upload(wish.archive, suite, paths, component=component)
    lines = in_columns((u.state, u.name, u.error_message or u.id) for u in sent)
    _tell({"items": [upload.document for upload in sent]}, "\n".join(lines), wish)
    for upload in sent:
        if upload.note:
            typer.echo(f"{upload.name}: {upload.note}", err=True)
    if any(upload.state == "rejected" for upload in sent):
        raise SystemExit(REFUSED)


def _list(client: StagingClient, _action: Action, wish: _Wish) -> None:
    found = list(client.archives.publications(wish.archive))
    lines = in_columns(_row(run) for run in found)
    _tell({"items": [run.document for run in found]}, "\n".join(lines), wish)


def _packages(client: StagingClient, _action: Action, wish: _Wish) -> None:
    found = list(client.archives.packages(wish.archive))
    found = [p for p in found if not wish.suites or p["suite"] in wish.suites]
    lines = in_columns(_package_row(package) for package in found)
    _tell({"items": found}, "\n".join(lines), wish)


def _remove(client: StagingClient, _action: Action, wish: _Wish) -> None:
    if not wish.arguments or not wish.reason:
        raise typer.BadParameter("remove needs PACKAGE or PACKAGE=VERSION, and --reason")
    gone = [_removed(client, wish, package) for package in _to_remove(client, wish)]
    lines = in_columns(_package_row(package) for package in gone)
    _tell({"items": gone}, "\n".join(lines), wish)


def _to_remove(client: StagingClient, wish: _Wish) -> list[Mapping[str, Any]]:
    """What is pending or published of the packages that are named; all of them have some."""
    found: list[Mapping[str, Any]] = []
    for named in wish.arguments:
        name, _, version = named.partition("=")
        some = [
            package
            for package in client.archives.packages(wish.archive, package=name)
            if package["state"] in CURRENT_PUBLICATION_STATES
            and version in ("", package["version"])
            and (not wish.suites or package["suite"] in wish.suites)
            and (not wish.components or package["component"] in wish.components)
            and (not wish.architectures or package["architecture"] in wish.architectures)
        ]
        if not some:
            raise NotFound(f"no package {named} is in {', '.join(wish.suites) or wish.archive}")
        found += some
    return found


def _removed(client: StagingClient, wish: _Wish, package: Mapping[str, Any]) -> Mapping[str, Any]:
    return client.archives.remove(wish.archive, package["id"], wish.reason)


def _generations(client: StagingClient, _action: Action, wish: _Wish) -> None:
    found = list(client.archives.generations(wish.archive))
    lines = in_columns(
        (g["id"], str(g["number"]), g["state"], str(g["live_at"]), "pinned" * bool(g["pinned_at"]))
        for g in found
    )
    _tell({"items": found}, "\n".join(lines), wish)


def _back(client: StagingClient, _action: Action, wish: _Wish) -> None:
    document = client.archives.go_back(
        wish.archive, _one(wish.arguments), suites=wish.suites, reason=wish.reason
    )
    _tell_held(document, wish)


def _hold(client: StagingClient, _action: Action, wish: _Wish) -> None:
    for suite in wish.suites or ("stable",):
        document = client.archives.hold(wish.archive, suite, wish.reason)
    _tell_held(document, wish)


def _lift(client: StagingClient, _action: Action, wish: _Wish) -> None:
    for suite in wish.suites or ("stable",):
        document = client.archives.lift(wish.archive, suite)
    _tell_held(document, wish)
    typer.echo("the next run shows what is published", err=True)


def _tell_held(document: Mapping[str, Any], wish: _Wish) -> None:
    _tell(document, f"{wish.archive} is at {document['live']['number']}", wish)
    for each in document["held"]:
        typer.echo(f"{each['suite']} is held at {each['content_number']}", err=True)


def _export(client: StagingClient, _action: Action, wish: _Wish) -> None:
    count = client.archives.export(wish.archive, _one(wish.arguments), timeout=wish.timeout)
    _tell({"written": count}, f"{count} files written", wish)


#: What is not one of the three operations.
_ACTIONS = {
    Action.CREATE: _create,
    Action.UPLOAD: _upload,
    Action.LIST: _list,
    Action.PACKAGES: _packages,
    Action.REMOVE: _remove,
    Action.GENERATIONS: _generations,
    Action.BACK: _back,
    Action.HOLD: _hold,
    Action.LIFT: _lift,
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


def _row(run: PublisherRun) -> tuple[str, ...]:
    began = run.started_at.isoformat(timespec="seconds")
    return run.id, run.operation, run.state, began, run.error_message or _counts(run)


def _package_row(package: Mapping[str, Any]) -> tuple[str, ...]:
    fields = ("id", "suite", "component", "package", "version", "architecture", "state", "path")
    return tuple(str(package[name]) for name in fields)


def _counts(run: PublisherRun) -> str:
    return ", ".join(f"{count} {name}" for name, count in run.counts.items())


def _say_why(error: StagingApiError, pause: float) -> None:
    running = error.extra.get("publication") or {}
    what = running.get("purpose") or running.get("operation")
    whose = f" ({what} of {running['archive']})" if running else ""
    typer.echo(f"{error.detail}{whose}; trying again in {pause:.0f} s", err=True)
