"""APT archives and their packages: create, upload, list, remove."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from staging_api.cli.exits import REFUSED
from staging_api.cli.options import ServiceOptions, connected, named, of_service
from staging_api.cli.output import in_columns, print_lines, print_rows, say
from staging_api.cli.publish.options import (
    DEFAULT_SUITE,
    LONG_SECONDS,
    REPEATED,
    Archive,
    Suites,
    SuitesOrStable,
    only,
)
from staging_api.errors import NotFound
from staging_api.vocabulary.publishing import CURRENT_PUBLICATION_STATES

_Package = Mapping[str, Any]

Components = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help=f"A component; {REPEATED} [default: the server's]"),
]
Architectures = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help=f"An architecture; {REPEATED} [default: the server's]"),
]


@of_service(timeout=LONG_SECONDS)
def create(
    service: ServiceOptions,
    archive: Archive,
    *,
    suite: SuitesOrStable = None,
    component: Components = None,
    architecture: Architectures = None,
) -> None:
    """Create an archive with its suites."""
    given = {"components": component, "architectures": architecture}
    parts = {name: values for name, values in given.items() if values}
    suites = [{"name": name, **parts} for name in suite or (DEFAULT_SUITE,)]
    with connected(service) as client:
        made = client.archives.create(archive, suites)
    print_lines(made, [f"{client.url}{made['url']}"], as_json=service.as_json)


@of_service(timeout=LONG_SECONDS)
def upload(
    service: ServiceOptions,
    archive: Archive,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", parser=named, help="Packages to send.")
    ],
    *,
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"The suite. [default: {DEFAULT_SUITE}]"),
    ] = None,
    component: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="The component. [default: the server's]"),
    ] = None,
) -> None:
    """Upload packages to a suite; exits with 4 if one is rejected."""
    # Checked before anything is sent: otherwise the other files would be in the archive already.
    paths = _existing(files)
    to_suite = only(suite, "--suite") or DEFAULT_SUITE
    to_component = only(component, "--component")
    with connected(service) as client:
        sent = client.archives.upload(archive, to_suite, paths, component=to_component)
    lines = in_columns((u.state, u.name, u.error_message or u.id) for u in sent)
    print_lines({"items": [each.document for each in sent]}, lines, as_json=service.as_json)
    for each in sent:
        if each.note:
            say(f"{each.name}: {each.note}", err=True)
    if any(each.state == "rejected" for each in sent):
        raise SystemExit(REFUSED)


@of_service(timeout=LONG_SECONDS)
def listing(service: ServiceOptions, archive: Archive, *, suite: Suites = None) -> None:
    """List the packages of an archive, published and past."""
    with connected(service) as client:
        found = [each for each in client.archives.packages(archive) if _among(each, suite=suite)]
    print_rows({"items": found}, _rows(found), "no packages", as_json=service.as_json)


@of_service(timeout=LONG_SECONDS)
def remove(
    service: ServiceOptions,
    archive: Archive,
    packages: Annotated[
        list[str], typer.Argument(metavar="PACKAGE[=VERSION]...", help="Packages to remove.")
    ],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Reason; kept in the record.")],
    suite: Suites = None,
    component: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help=f"Only of this component; {REPEATED}")
    ] = None,
    architecture: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help=f"Only for this one; {REPEATED}")
    ] = None,
) -> None:
    """Remove packages from their suites; takes effect with the next publisher run."""
    # A required option may still be given empty.
    if not reason:
        raise typer.BadParameter("--reason must say why")

    def chosen(package: _Package) -> bool:
        return _among(package, suite=suite, component=component, architecture=architecture)

    with connected(service) as client:
        # All are found before the first is removed: a misspelt name removes nothing.
        found = _current(client.archives.packages, archive, packages, chosen)
        gone = [client.archives.remove(archive, each["id"], reason) for each in found]
    print_rows({"items": gone}, _rows(gone), "no packages", as_json=service.as_json)


def _existing(files: Sequence[str]) -> list[Path]:
    """Return the paths of files.

    Raises:
        typer.BadParameter: a path is not a file.
    """
    paths = [Path(file) for file in files]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise typer.BadParameter(f"not a file: {', '.join(missing)}")
    return paths


def _current(
    ask: Callable[..., Any],
    archive: str,
    named: Sequence[str],
    chosen: Callable[[_Package], bool],
) -> list[_Package]:
    """Return the pending and published rows of the named packages.

    Raises:
        NotFound: a package has no such row.
    """
    found: list[_Package] = []
    for each in named:
        name, _, version = each.partition("=")
        some = [
            package
            for package in ask(archive, package=name)
            if package["state"] in CURRENT_PUBLICATION_STATES
            and version in ("", package["version"])
            and chosen(package)
        ]
        if not some:
            raise NotFound(f"no such suite of {archive} has a package {each}")
        found += some
    return found


def _among(package: _Package, **values: Sequence[str] | None) -> bool:
    """Return whether each given field has one of the allowed values."""
    return all(not allowed or package[field] in allowed for field, allowed in values.items())


def _rows(packages: Sequence[_Package]) -> Iterator[tuple[str, ...]]:
    fields = ("id", "suite", "component", "package", "version", "architecture")
    for each in packages:
        yield (*(str(each[name]) for name in fields), _state(each), each["path"])


def _state(package: _Package) -> str:
    state = str(package["state"])
    # A service of the version before does not say what clients see.
    if "listed" not in package or package["listed"] == (state == "published"):
        return state
    if package["listed"]:
        return f"{state}, still seen"
    return f"{state}, not seen yet" if state == "published" else state
