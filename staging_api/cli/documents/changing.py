"""Actions of ``staging-api documents`` that change documents."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from staging_api.cli.documents.messages import print_messages, undone_unless_confirmed
from staging_api.cli.documents.options import Reason, connected
from staging_api.cli.documents.posted import PostedText, read_files
from staging_api.cli.exits import REFUSED
from staging_api.cli.options import ServiceOptions, named, of_service
from staging_api.cli.output import print_lines, say
from staging_api.client import StagingClient
from staging_api.errors import Invalid, StagingApiError
from staging_api.vocabulary.documents import BufferMode, Outcome


class Mode(StrEnum):
    """Handling of a buffer that is not empty."""

    REJECT = "rejectoncontents"
    APPEND = "append"
    REPLACE = "replace"


class SiteActionEnd(StrEnum):
    """Result of a site action."""

    SUCCESS = "success"
    FAILURE = "failure"


Number = Annotated[int, typer.Argument(min=0, metavar="REVISION", help="Number of a revision.")]
Data = Annotated[str | None, typer.Option(metavar="JSON", help="Value stored with the tag.")]


@of_service(timeout=60)
def create(
    service: ServiceOptions,
    collection: Annotated[str, typer.Argument(metavar="COLLECTION")],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|FOLDER|-]...",
            parser=named,
            help="Files of YAML; folders, of which all .yaml and .yml files; - standard input.",
        ),
    ] = None,
    *,
    mode: Annotated[
        Mode, typer.Option(help="What to do with a buffer that is not empty.")
    ] = Mode.REJECT,
    empty: Annotated[bool, typer.Option("--empty", help="Remove all its documents.")] = False,
    reason: Reason = None,
) -> None:
    """Put a collection into the buffer."""
    if empty == bool(files):
        raise typer.BadParameter("either files or folders with the documents, or --empty")
    buffer_mode: BufferMode = mode.value
    with connected(service) as client:
        if empty:
            result = client.documents.empty(
                collection, mode=buffer_mode, reason=reason, on_retry=_say_why
            )
        else:
            # In the block, so that an unreadable file is reported like any other error.
            posted = read_files(files or ())
            result = _post(client, collection, posted, buffer_mode, reason)
    _print_result(result, as_json=service.as_json)


@of_service(timeout=60)
def commit(
    service: ServiceOptions,
    *,
    revision: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Commit only if the buffer is still this revision."),
    ] = None,
    dryrun: Annotated[
        bool, typer.Option("--dryrun", help="Validate only; exits with 4 if there are errors.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Commit despite errors.")] = False,
    confirm_within: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="SECONDS", help="Undo the commit after this time, unless confirmed."
        ),
    ] = None,
    stage: Annotated[
        bool, typer.Option("--stage", help="Stage the builds named in the documents.")
    ] = False,
    reason: Reason = None,
) -> None:
    """Validate and commit the buffer."""
    with connected(service) as client:
        result = client.documents.commit(
            revision=revision,
            force=force,
            dryrun=dryrun,
            confirm_within=confirm_within,
            stage=stage,
            reason=reason,
            on_retry=_say_why,
        )
    _print_result(result, as_json=service.as_json)
    # The response to a dry run is always 200, but scripts look at the exit code.
    if dryrun and result["status"] == "Failure":
        raise typer.Exit(REFUSED)


@of_service(timeout=60)
def confirm(service: ServiceOptions, revision: Number, *, reason: Reason = None) -> None:
    """Keep a commit made with --confirm-within."""
    with connected(service) as client:
        made = client.documents.confirm(revision, reason=reason)
    print_lines(made, [f"revision {revision} is confirmed"], as_json=service.as_json)


@of_service(timeout=60)
def discard(
    service: ServiceOptions,
    collection: Annotated[
        str | None,
        typer.Argument(metavar="[COLLECTION]", help="Drop only the changes of this collection."),
    ] = None,
    *,
    reason: Reason = None,
) -> None:
    """Discard the changes in the buffer."""
    with connected(service) as client:
        made = client.documents.discard(collection, reason=reason)
    _print_buffer(made, as_json=service.as_json)


@of_service(timeout=60)
def rollback(
    service: ServiceOptions,
    revision: Number,
    *,
    over_buffer: Annotated[
        bool, typer.Option("--over-buffer", help="Permit dropping the buffer.")
    ] = False,
    reason: Reason = None,
) -> None:
    """Make the buffer equal to a revision; 0 has no documents."""
    with connected(service) as client:
        made = client.documents.rollback(revision, over_buffer=over_buffer, reason=reason)
    _print_buffer(made, as_json=service.as_json)


@of_service(timeout=60)
def tag(
    service: ServiceOptions,
    revision: Number,
    name: Annotated[str, typer.Argument(metavar="TAG")],
    *,
    data: Data = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete the tag.")] = False,
    reason: Reason = None,
) -> None:
    """Give a revision a name."""
    if remove and data is not None:
        raise typer.BadParameter("--data is for a tag that is set")
    with connected(service) as client:
        if remove:
            made = client.documents.untag(revision, name, reason=reason)
        else:
            made = client.documents.tag(revision, name, _parsed(data), reason=reason)
    done = f"has no tag {name} any more" if remove else f"is tagged {name}"
    print_lines(made, [f"revision {revision} {done}"], as_json=service.as_json)


@of_service(timeout=60)
def site_action(
    service: ServiceOptions,
    outcome: Annotated[SiteActionEnd, typer.Argument()],
    *,
    revision: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Default: the committed revision.")
    ] = None,
    require_staged: Annotated[
        bool, typer.Option("--require-staged", help="Refuse unless each named build is staged.")
    ] = False,
    data: Data = None,
    reason: Reason = None,
) -> None:
    """Record the result of a site action."""
    ended: Outcome = outcome.value
    with connected(service) as client:
        made = client.documents.site_action(
            ended,
            revision=revision,
            require_staged=require_staged,
            data=_parsed(data),
            reason=reason,
        )
    text = f"a site action on revision {made['number']}: {ended}"
    print_lines(made, [text], as_json=service.as_json)


def _post(
    client: StagingClient,
    collection: str,
    posted: PostedText,
    mode: BufferMode,
    reason: str | None,
) -> Mapping[str, Any]:
    try:
        result = client.documents.create(
            collection, posted.text, mode=mode, reason=reason, on_retry=_say_why
        )
    except StagingApiError as error:
        messages = error.extra.get("messages", ())
        # The service counts lines of the posted text; its author has several files.
        error.extra = {**error.extra, "messages": posted.located(messages, collection)}
        raise
    details = result["details"]
    located = posted.located(details["messageList"], collection)
    return {**result, "details": {**details, "messageList": located}}


def _parsed(data: str | None) -> object:
    try:
        return None if data is None else json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid.field("--data", f"must be JSON: {error}") from None


def _print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    if not as_json:
        print_messages(result["details"]["messageList"])
    text = f"revision {result['revision']}, digest {result['digest']}: {result['message']}"
    text += undone_unless_confirmed(result)
    for build in result.get("builds", ()):
        text += f"\n  {build['state']} {build['archive_url']}"
    print_lines(result, [text], as_json=as_json)


def _print_buffer(buffer: Mapping[str, Any], *, as_json: bool) -> None:
    changed = ", ".join(buffer["collections"]) or "nothing"
    print_lines(buffer, [f"revision {buffer['revision']} changes {changed}"], as_json=as_json)


def _say_why(error: StagingApiError, pause: float) -> None:
    say(f"{error.detail}; trying again in {pause:.0f} s", err=True)
