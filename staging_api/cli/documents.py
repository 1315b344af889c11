"""``staging-api documents``: buffer, review and commit configuration documents, and go back."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from staging_api.cli.document_changes import DIFFERENT, print_changes
from staging_api.cli.extras import needing
from staging_api.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from staging_api.cli.output import exit_on_error, in_columns, print_json
from staging_api.client import StagingClient
from staging_api.errors import Invalid, StagingApiError
from staging_api.vocabulary.documents import BufferMode

_SUFFIXES = (".yaml", ".yml")
_VERSIONS = ("buffer", "committed", "last_site_action", "successful_site_action")


class Action(StrEnum):
    """What to do with documents."""

    CREATE = "create"
    GET = "get"
    STATUS = "status"
    COMMIT = "commit"
    CONFIRM = "confirm"
    DISCARD = "discard"
    ROLLBACK = "rollback"
    TAG = "tag"
    WHY = "why"
    USES = "uses"
    HISTORY = "history"
    LINT = "lint"
    RENDER = "render"
    DIFF = "diff"


class Mode(StrEnum):
    """What to do with a buffer that is not empty."""

    REJECT = "rejectoncontents"
    APPEND = "append"
    REPLACE = "replace"


Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[COLLECTION [FILE...]|REVISION [TAG]|SCHEMA NAME [PATH]|FOLDER|OLD NEW]",
        help="create: a collection, and files or folders of YAML; get, discard: a collection;"
        " confirm, rollback, tag: a revision; why, uses: schema and name of a document;"
        " lint, render: a folder, no server; diff: two folders, no server, or two versions or"
        " revisions (default: committed and buffer).",
    ),
]
Version = Annotated[
    str,
    typer.Option(
        metavar="VERSION",
        help="For get, why, uses: buffer, committed, last_site_action, successful_site_action.",
    ),
]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the record.")]


def documents(
    action: Annotated[Action, typer.Argument()],
    arguments: Arguments = None,
    *,
    mode: Annotated[Mode, typer.Option(help="For create.")] = Mode.REJECT,
    empty: Annotated[
        bool, typer.Option("--empty", help="For create: remove all documents.")
    ] = False,
    version: Version = "buffer",
    rendered: Annotated[
        bool, typer.Option("--rendered", help="For get, diff: all documents, rendered.")
    ] = False,
    unified: Annotated[bool, typer.Option("--unified", help="For diff: lines of YAML.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For why, uses: a folder of documents, no server."),
    ] = None,
    cleartext_secrets: Annotated[
        bool,
        typer.Option("--cleartext-secrets", help="For get, render, diff: show secrets."),
    ] = False,
    revision: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="For commit: only if the buffer is this revision."),
    ] = None,
    dryrun: Annotated[bool, typer.Option("--dryrun", help="For commit: validate only.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Commit in spite of errors.")] = False,
    confirm_within: Annotated[
        int | None,
        typer.Option(min=1, metavar="SECONDS", help="Undo the commit then, unless confirmed."),
    ] = None,
    stage: Annotated[
        bool, typer.Option("--stage", help="For commit: stage the builds that documents name.")
    ] = False,
    over_buffer: Annotated[
        bool, typer.Option("--over-buffer", help="For rollback: even if that drops the buffer.")
    ] = False,
    reason: Reason = None,
    timeout: Timeout = 60,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
) -> None:
    """Buffer, review and commit configuration documents, and go back to older ones.

    While another request changes documents this one waits for it.
    """
    asked = _Asked(
        arguments=tuple(arguments or ()),
        mode=mode,
        empty=empty,
        version=version,
        rendered=rendered,
        secrets=cleartext_secrets,
        revision=revision,
        dryrun=dryrun,
        force=force,
        confirm_within=confirm_within,
        stage=stage,
        over_buffer=over_buffer,
        reason=reason,
        as_json=as_json,
        folder=folder,
        unified=unified,
    )
    if folder is not None or _needs_no_server(action, asked.arguments):
        with exit_on_error(as_json):
            _work_in_folders(action, asked)
        return
    with exit_on_error(as_json), StagingClient(server, token=token, timeout=timeout) as client:
        try:
            _ACTIONS[action](client, asked)
        except StagingApiError as error:
            if not as_json:
                _say_messages(error.extra.get("messages", ()))
            raise


@dataclass(frozen=True)
class _Asked:
    """What the command line says."""

    arguments: tuple[str, ...]
    mode: Mode
    empty: bool
    version: str
    rendered: bool
    secrets: bool
    revision: int | None
    dryrun: bool
    force: bool
    confirm_within: int | None
    stage: bool
    over_buffer: bool
    reason: str | None
    as_json: bool
    folder: Path | None
    unified: bool


def _create(client: StagingClient, asked: _Asked) -> None:
    if not asked.arguments:
        raise typer.BadParameter("create needs a collection, and files unless --empty")
    collection, *names = asked.arguments
    mode: BufferMode = asked.mode.value
    if asked.empty:
        result = client.documents.empty(collection, mode=mode, reason=asked.reason)
    else:
        text = b"".join(_texts(names))
        result = client.documents.create(
            collection, text, mode=mode, reason=asked.reason, on_retry=_say_why
        )
    _tell_result(result, asked)


def _get(client: StagingClient, asked: _Asked) -> None:
    if asked.rendered:
        text = client.documents.rendered(asked.version, secrets=asked.secrets)
    else:
        text = client.documents.get(
            _one(asked, "a collection"), asked.version, secrets=asked.secrets
        )
    sys.stdout.buffer.write(text)


def _status(client: StagingClient, asked: _Asked) -> None:
    buffer, found = client.documents.buffer(), client.documents.status()
    if asked.as_json:
        print_json({"buffer": buffer, "collections": found})
        return
    typer.echo(f"committed {buffer['committed']}, buffer {buffer['revision']} ({buffer['digest']})")
    for line in in_columns((each["new_status"], each["collection_name"]) for each in found):
        typer.echo(f"  {line}")


def _commit(client: StagingClient, asked: _Asked) -> None:
    result = client.documents.commit(
        revision=asked.revision,
        force=asked.force,
        dryrun=asked.dryrun,
        confirm_within=asked.confirm_within,
        stage=asked.stage,
        reason=asked.reason,
        on_retry=_say_why,
    )
    _tell_result(result, asked)


def _confirm(client: StagingClient, asked: _Asked) -> None:
    made = client.documents.confirm(_number(asked))
    _tell(made, f"revision {made['number']} is confirmed", asked)


def _discard(client: StagingClient, asked: _Asked) -> None:
    collection = asked.arguments[0] if asked.arguments else None
    _tell_buffer(client.documents.discard(collection, reason=asked.reason), asked)


def _rollback(client: StagingClient, asked: _Asked) -> None:
    made = client.documents.rollback(
        _number(asked), over_buffer=asked.over_buffer, reason=asked.reason
    )
    _tell_buffer(made, asked)


def _tag(client: StagingClient, asked: _Asked) -> None:
    if len(asked.arguments) != 2:  # noqa: PLR2004 - revision and tag
        raise typer.BadParameter("tag needs a revision and a name")
    number, tag = _number(asked), asked.arguments[1]
    made = client.documents.tag(number, tag, reason=asked.reason)
    _tell(made, f"revision {number} is tagged {tag}", asked)


def _why(client: StagingClient, asked: _Asked) -> None:
    found = _explained(client, asked)
    lines = in_columns(
        (each["path"], each["origin"], " <- ".join(each["steps"])) for each in found["provenance"]
    )
    _tell(found, "\n".join(lines), asked)


def _uses(client: StagingClient, asked: _Asked) -> None:
    found = _explained(client, asked)
    _tell(found, "\n".join(f"{each['schema']} {each['name']}" for each in found["used_by"]), asked)


def _history(client: StagingClient, asked: _Asked) -> None:
    found = list(client.documents.revisions())
    lines = in_columns(_row(revision) for revision in found)
    _tell({"items": found}, "\n".join(lines), asked)


def _diff(client: StagingClient, asked: _Asked) -> None:
    if len(asked.arguments) not in {0, 2}:
        raise typer.BadParameter("diff compares two versions, revisions or folders")
    old, new = asked.arguments or ("committed", "buffer")
    found = client.documents.differences(old, new, rendered=asked.rendered, secrets=asked.secrets)
    if asked.as_json:
        print_json(found)
    else:
        print_changes(found["changes"], unified=asked.unified)
    if found["changes"]:
        raise typer.Exit(DIFFERENT)


_ACTIONS: Mapping[Action, Callable[[StagingClient, _Asked], None]] = {
    Action.CREATE: _create,
    Action.GET: _get,
    Action.STATUS: _status,
    Action.COMMIT: _commit,
    Action.CONFIRM: _confirm,
    Action.DISCARD: _discard,
    Action.ROLLBACK: _rollback,
    Action.TAG: _tag,
    Action.WHY: _why,
    Action.USES: _uses,
    Action.HISTORY: _history,
    Action.DIFF: _diff,
}


_IN_FOLDERS = (Action.LINT, Action.RENDER)


def _needs_no_server(action: Action, given: tuple[str, ...]) -> bool:
    """Whether it is about folders; those of a version's name are written ``./buffer``."""
    if action is Action.DIFF:
        return any(not (each in _VERSIONS or (each.isascii() and each.isdigit())) for each in given)
    return action in _IN_FOLDERS


def _work_in_folders(action: Action, asked: _Asked) -> None:
    """Do without a server what needs none; the engine is loaded only for these."""
    with needing("documents", f"documents {action} on folders"):
        from staging_api.cli import document_folders as folders

    given, as_json = asked.arguments, asked.as_json
    if action is Action.LINT:
        folders.lint(Path(_one(asked, "a folder")), as_json=as_json)
    elif action is Action.RENDER:
        folder = Path(_one(asked, "a folder"))
        folders.render_folder(folder, secrets=asked.secrets, as_json=as_json)
    elif action is Action.DIFF and len(given) == 2:  # noqa: PLR2004 - two folders
        folders.diff(
            Path(given[0]),
            Path(given[1]),
            rendered=asked.rendered,
            unified=asked.unified,
            secrets=asked.secrets,
            as_json=as_json,
        )
    elif asked.folder is not None and action is Action.WHY and len(given) in {2, 3}:
        schema, name, path = [*given, "."][:3]
        folders.explain(asked.folder, schema, name, path, as_json=as_json)
    elif asked.folder is not None and action is Action.USES and len(given) == 2:  # noqa: PLR2004
        folders.show_users(asked.folder, given[0], given[1], as_json=as_json)
    else:
        raise typer.BadParameter(
            "diff needs two folders; with --folder there are why SCHEMA NAME [PATH] and"
            " uses SCHEMA NAME"
        )


def _texts(names: Sequence[str]) -> Iterator[bytes]:
    """The files, and those of folders, each begun as a document of its own."""
    if not names:
        raise typer.BadParameter("create needs the files or folders with the documents")
    for name in names:
        path = Path(name)
        files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES)
        for file in files if path.is_dir() else [path]:
            try:
                text = file.read_bytes()
            except OSError as error:
                raise Invalid.field(str(file), f"cannot be read: {error.strerror}") from None
            yield text if text.startswith((b"---", b"%")) else b"---\n" + text
            yield b"" if text.endswith(b"\n") else b"\n"


def _explained(client: StagingClient, asked: _Asked) -> Mapping[str, Any]:
    if len(asked.arguments) != 2:  # noqa: PLR2004 - schema and name
        raise typer.BadParameter("the schema and the name of a document are needed here")
    return client.documents.explain(*asked.arguments, version=asked.version)


def _tell_result(result: Mapping[str, Any], asked: _Asked) -> None:
    if not asked.as_json:
        _say_messages(result["details"]["messageList"])
    text = f"{result['message']}: revision {result['revision']}, digest {result['digest']}"
    for build in result.get("builds", ()):
        text += f"\n  {build['state']} {build['archive_url']}"
    _tell(result, text, asked)


def _tell_buffer(buffer: Mapping[str, Any], asked: _Asked) -> None:
    changed = ", ".join(buffer["collections"]) or "nothing"
    _tell(buffer, f"revision {buffer['revision']} changes {changed}", asked)


def _tell(document: Mapping[str, Any], text: str, asked: _Asked) -> None:
    if asked.as_json:
        print_json(document)
    elif text:
        typer.echo(text)


def _say_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    for each in messages:
        named = ", ".join(f"{one['schema']} {one['name']}" for one in each.get("documents", ()))
        where = f" ({named})" if named else ""
        typer.echo(f"  {each.get('level', 'Error')}: {each['message']}{where}", err=True)


def _row(revision: Mapping[str, Any]) -> tuple[str, ...]:
    commit = revision["commit"]
    fate = "" if commit is None else "undone" if commit["undone_in"] else "committed"
    tags = " ".join(each["tag"] for each in revision["tags"])
    what = " ".join(filter(None, (revision["kind"], revision["collection"])))
    reason = revision["reason"] or ""
    return (
        str(revision["number"]),
        what,
        fate,
        revision["caller"],
        revision["created_at"],
        tags,
        reason,
    )


def _one(asked: _Asked, what: str) -> str:
    if len(asked.arguments) != 1:
        raise typer.BadParameter(f"exactly one argument is needed here: {what}")
    return asked.arguments[0]


def _number(asked: _Asked) -> int:
    given = asked.arguments[0] if asked.arguments else ""
    if not (given.isascii() and given.isdigit()):
        raise typer.BadParameter("the number of a revision is needed here")
    return int(given)


def _say_why(error: StagingApiError, pause: float) -> None:
    typer.echo(f"{error.detail}; trying again in {pause:.0f} s", err=True)
