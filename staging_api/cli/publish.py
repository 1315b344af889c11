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
    options = _Options(
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
        _ACTIONS.get(action, _run)(client, action, options)


@dataclass(frozen=True)
class _Options:
    """The options and arguments of the command line."""

    archive: str
    arguments: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    careful: bool
    reason: str
    timeout: float
    as_json: bool


def _run(client: StagingClient, action: Action, options: _Options) -> None:
    done = client.archives.publish(
        cast("Operation", action.value),
        options.archive,
        timeout=options.timeout,
        on_retry=_print_wait,
        careful=options.careful,
        suites=list(options.suites),
    )
    if options.as_json:
        print_json(done.document)
        return
    typer.echo(f"{done.state} {done.archive} ({done.id}): {_counts(done) or 'nothing to do'}")
    for note in done.notes:
        typer.echo(f"  {note}", err=True)


def _create(client: StagingClient, _action: Action, options: _Options) -> None:
    given = {"components": options.components, "architectures": options.architectures}
    parts = {name: list(values) for name, values in given.items() if values}
    suites = [{"name": name, **parts} for name in options.suites or ("stable",)]
    made = client.archives.create(options.archive, suites)
    _print(made, f"{client.url}{made['url']}", options)


def _upload(client: StagingClient, _action: Action, options: _Options) -> None:
    if not options.arguments:
        raise typer.BadParameter("upload needs the packages to send")
    paths = [Path(file) for file in options.arguments]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise typer.BadParameter(f"not a file: {', '.join(missing)}")
    suite = _one(options.suites or ("stable",))
    component = _one(options.components) if options.components else None
    sent = client.archives.upload(options.archive, suite, paths, component=component)
    lines = in_columns((u.state, u.name, u.error_message or u.id) for u in sent)
    _print({"items": [upload.document for upload in sent]}, "\n".join(lines), options)
    for upload in sent:
        if upload.note:
            typer.echo(f"{upload.name}: {upload.note}", err=True)
    if any(upload.state == "rejected" for upload in sent):
        raise SystemExit(REFUSED)


def _list(client: StagingClient, _action: Action, options: _Options) -> None:
    found = list(client.archives.publications(options.archive))
    lines = in_columns(_row(run) for run in found)
    _print({"items": [run.document for run in found]}, "\n".join(lines), options)


def _packages(client: StagingClient, _action: Action, options: _Options) -> None:
    found = list(client.archives.packages(options.archive))
    found = [p for p in found if not options.suites or p["suite"] in options.suites]
    lines = in_columns(_package_row(package) for package in found)
    _print({"items": found}, "\n".join(lines), options)


def _remove(client: StagingClient, _action: Action, options: _Options) -> None:
    if not options.arguments or not options.reason:
        raise typer.BadParameter("remove needs PACKAGE or PACKAGE=VERSION, and --reason")
    gone = [_removed(client, options, package) for package in _to_remove(client, options)]
    lines = in_columns(_package_row(package) for package in gone)
    _print({"items": gone}, "\n".join(lines), options)


def _to_remove(client: StagingClient, options: _Options) -> list[Mapping[str, Any]]:
    """Return the pending and published rows of the named packages.

    Raises:
        NotFound: one of them has none.
    """
    found: list[Mapping[str, Any]] = []
    for named in options.arguments:
        name, _, version = named.partition("=")
        some = [
            package
            for package in client.archives.packages(options.archive, package=name)
            if package["state"] in CURRENT_PUBLICATION_STATES
            and version in ("", package["version"])
            and (not options.suites or package["suite"] in options.suites)
            and (not options.components or package["component"] in options.components)
            and (not options.architectures or package["architecture"] in options.architectures)
        ]
        if not some:
            raise NotFound(
                f"no package {named} is in {', '.join(options.suites) or options.archive}"
            )
        found += some
    return found


def _removed(
    client: StagingClient, options: _Options, package: Mapping[str, Any]
) -> Mapping[str, Any]:
    return client.archives.remove(options.archive, package["id"], options.reason)


def _generations(client: StagingClient, _action: Action, options: _Options) -> None:
    found = list(client.archives.generations(options.archive))
    lines = in_columns(
        (g["id"], str(g["number"]), g["state"], str(g["live_at"]), "pinned" * bool(g["pinned_at"]))
        for g in found
    )
    _print({"items": found}, "\n".join(lines), options)


def _back(client: StagingClient, _action: Action, options: _Options) -> None:
    document = client.archives.go_back(
        options.archive, _one(options.arguments), suites=options.suites, reason=options.reason
    )
    _print_holds(document, options)


def _hold(client: StagingClient, _action: Action, options: _Options) -> None:
    for suite in options.suites or ("stable",):
        document = client.archives.hold(options.archive, suite, options.reason)
    _print_holds(document, options)


def _lift(client: StagingClient, _action: Action, options: _Options) -> None:
    for suite in options.suites or ("stable",):
        document = client.archives.lift(options.archive, suite)
    _print_holds(document, options)
    typer.echo("the next run shows what is published", err=True)


def _print_holds(document: Mapping[str, Any], options: _Options) -> None:
    _print(document, f"{options.archive} is at {document['live']['number']}", options)
    for each in document["held"]:
        typer.echo(f"{each['suite']} is held at {each['content_number']}", err=True)


def _export(client: StagingClient, _action: Action, options: _Options) -> None:
    count = client.archives.export(
        options.archive, _one(options.arguments), timeout=options.timeout
    )
    _print({"written": count}, f"{count} files written", options)


#: Actions other than the three operations.
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


def _print(document: Mapping[str, Any], text: str, options: _Options) -> None:
    if options.as_json:
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


def _print_wait(error: StagingApiError, pause: float) -> None:
    running = error.extra.get("publication") or {}
    what = running.get("purpose") or running.get("operation")
    whose = f" ({what} of {running['archive']})" if running else ""
    typer.echo(f"{error.detail}{whose}; trying again in {pause:.0f} s", err=True)
