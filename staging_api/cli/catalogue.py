"""``staging-api catalogue``: the artifacts that archives can have, and trying a catalogue."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from staging_api.cli.exits import NOT_FOUND
from staging_api.cli.options import CALL_SECONDS, ServiceOptions, connected, named_path, of_service
from staging_api.cli.output import in_columns, print_lines
from staging_api.errors import Invalid


@of_service()
def catalogue(
    service: ServiceOptions,
    archive_url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="Show only the artifacts that this archive can have."),
    ] = None,
    *,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=named_path,
            help="Test this catalogue against the archive; - is the service's.",
        ),
    ] = None,
) -> None:
    """Show the artifacts that archives can have; with --check, test a catalogue on an archive.

    A check exits with 5 if the archive lacks an artifact of the default, which a request gets
    that names no artifacts.
    """
    if check is not None and archive_url is None:
        raise typer.BadParameter("--check needs the URL of an archive")
    with connected(service, CALL_SECONDS) as client:
        if check is None:
            items = client.catalogues(archive_url)
            found: Mapping[str, Any] = {"items": items}
            lines = [line for item in items for line in _listed(item)]
        else:
            found = client.check_catalogue(archive_url or "", _text(check))
            lines = list(_checked(found))
    print_lines(found, lines, as_json=service.as_json)
    if check is not None and any(_lacks(each) for each in found["artifacts"]):
        raise SystemExit(NOT_FOUND)


def _text(path: Path) -> str | None:
    if str(path) == "-":
        return None
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid.field("check", f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Invalid.field("check", f"{path} is not a text in UTF-8") from None


def _lacks(entry: Mapping[str, Any]) -> bool:
    return bool(entry["in_default"] and entry["reason"] and not entry["optional"])


def _listed(item: Mapping[str, Any]) -> Iterator[str]:
    yield f"{item['name']}, for {item['prefix'] or 'all other archives'}"
    yield f"  a request that names nothing gets: {', '.join(item['default'])}"
    rows = [
        (
            entry["name"],
            entry["group"],
            entry["phase"],
            "optional" if entry["optional"] else "",
            " or ".join(choice["pattern"] for choice in entry["choices"]),
        )
        for entry in item["artifacts"]
    ]
    for line in in_columns(rows):
        yield f"  {line}"


def _checked(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"{result['catalogue']} in {result['archive_url']}"
    for entry in result["artifacts"]:
        mark = "*" if entry["in_default"] else " "
        for found in entry["objects"]:
            yield f"{mark} {entry['name']}: {found} -> {_place(entry, found)}"
        if entry["reason"] is not None:
            kind = "optional, " if entry["optional"] else ""
            yield f"{mark} {entry['name']}: {kind}{entry['reason']}"
    for place in result["collisions"]:
        yield f"! the default brings {place} twice, or other files below it"
    if result["left_over"]:
        yield f"left over: {', '.join(result['left_over'])}"
    # A service of the previous version does not send it.
    if result.get("left_out"):
        yield f"skipped, because it cannot be requested: {', '.join(result['left_out'])}"
    yield "* is staged by a request that names no artifacts"


def _place(entry: Mapping[str, Any], found: str) -> str:
    lands = entry["lands"]
    if entry["choice"]["extract"] != "plain":
        return f"{lands[0]} ({entry['choice']['extract']})"
    return str(lands[entry["objects"].index(found)])
