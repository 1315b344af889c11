"""Actions of ``staging-api documents`` that check, render, compare and explain.

All work on folders without a server, and all but ``lint`` also on the service's documents.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from staging_api.cli.documents.changes import DIFFERENT, print_changes
from staging_api.cli.documents.options import (
    VERSIONS,
    Secrets,
    VersionOrRevision,
    connected,
    of_version,
)
from staging_api.cli.documents.reading import print_text
from staging_api.cli.extras import needing
from staging_api.cli.options import AsJson, ServiceOptions, named, named_path, of_service
from staging_api.cli.output import exit_on_error, in_columns, print_json, print_lines

Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", parser=named_path, help="A folder of documents, or one file; no server."
    ),
]
Schema = Annotated[str, typer.Argument(metavar="SCHEMA", help="As in site/Network/v1.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="metadata.name of the document.")]

_Both = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OLD NEW]",
        parser=named,
        help="Two folders or files (one named as a version is ./buffer), or two versions or"
        " revisions. [default: committed buffer]",
    ),
]


def lint(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE",
            parser=named_path,
            help="A folder, one file, or - standard input.",
        ),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Check documents without a server.

    Exits with 4 if there are errors.
    """
    with _engine("lint", as_json=as_json) as folders:
        folders.lint(folder, as_json=as_json)


@of_service(timeout=60)
def render(
    service: ServiceOptions,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR|FILE]",
            parser=named_path,
            help="A folder, one file, or - standard input; no server. [default: the service's]",
        ),
    ] = None,
    *,
    version: VersionOrRevision = None,
    cleartext_secrets: Secrets = False,
) -> None:
    """Print all documents, rendered."""
    if folder is not None:
        with _engine("render", version, as_json=service.as_json) as folders:
            folders.render_folder(folder, secrets=cleartext_secrets, as_json=service.as_json)
        return
    with connected(service) as client:
        ask = partial(client.documents.rendered, secrets=cleartext_secrets)
        text = of_version(version, ask)
    print_text(text, as_json=service.as_json)


@of_service(timeout=60)
def diff(
    service: ServiceOptions,
    both: _Both = None,
    *,
    rendered: Annotated[
        bool, typer.Option("--rendered", help="Compare rendered documents, not posted ones.")
    ] = False,
    unified: Annotated[bool, typer.Option("--unified", help="Show lines of YAML.")] = False,
    cleartext_secrets: Secrets = False,
) -> None:
    """Compare two versions or folders.

    Exits with 1 if anything differs.
    """
    try:
        old, new = both or ("committed", "buffer")
    except ValueError:
        raise typer.BadParameter("two folders, versions or revisions, or none") from None
    if not (_is_version(old) and _is_version(new)):
        with _engine("diff", as_json=service.as_json) as folders:
            for each in (old, new):
                if not _is_version(each):
                    folders.check_there(Path(each))
            folders.diff(
                Path(old),
                Path(new),
                rendered=rendered,
                unified=unified,
                secrets=cleartext_secrets,
                as_json=service.as_json,
            )
        return
    with connected(service) as client:
        found = client.documents.differences(old, new, rendered=rendered, secrets=cleartext_secrets)
    if service.as_json:
        print_json(found)
    else:
        print_changes(found["changes"], unified=unified)
    if found["changes"]:
        raise typer.Exit(DIFFERENT)


@of_service(timeout=60)
def why(
    service: ServiceOptions,
    schema: Schema,
    name: Name,
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="Path of one value in its data: .a.b[0]")
    ] = ".",
    *,
    version: VersionOrRevision = None,
    folder: Folder = None,
) -> None:
    """Show where each value of a document came from."""
    if folder is not None:
        with _engine("why", version, as_json=service.as_json) as folders:
            folders.explain(folder, schema, name, path, as_json=service.as_json)
        return
    with connected(service) as client:
        found = of_version(version, partial(client.documents.explain, schema, name, path=path))
    rows = (
        (each["path"], each["origin"], " <- ".join(each["steps"])) for each in found["provenance"]
    )
    print_lines(found, in_columns(rows), as_json=service.as_json)


@of_service(timeout=60)
def uses(
    service: ServiceOptions,
    schema: Schema,
    name: Name,
    *,
    version: VersionOrRevision = None,
    folder: Folder = None,
) -> None:
    """List the documents that a change of one document affects."""
    if folder is not None:
        with _engine("uses", version, as_json=service.as_json) as folders:
            folders.show_users(folder, schema, name, as_json=service.as_json)
        return
    with connected(service) as client:
        found = of_version(version, partial(client.documents.explain, schema, name))
    users = (f"{each['schema']} {each['name']}" for each in found["used_by"])
    print_lines(found, users, as_json=service.as_json)


@contextmanager
def _engine(action: str, version: str | None = None, *, as_json: bool) -> Iterator[ModuleType]:
    """Yield the actions on folders, which have no version; only these load the engine."""
    if version is not None:
        raise typer.BadParameter("--version selects a version of the service, not of a folder")
    with exit_on_error(as_json):
        with needing("documents", f"documents {action} on folders"):
            from staging_api.cli.documents import folders
        yield folders


def _is_version(text: str) -> bool:
    return text in VERSIONS or (text.isascii() and text.isdigit())
