"""Words of Chromium OS: only in its catalogue, the packages of its old clients, and the demo."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import staging_api
from staging_api.settings import Settings

PACKAGE = Path(staging_api.__file__).parent
OPENAPI = PACKAGE.parent / "docs" / "openapi.json"
WORDS = re.compile(
    r"chrom(e|ium)[ _-]?os|chromium|autotest|full_payload|stateful|test_suites|[mn]ton\b"
    r"|x86-generic|quick_provision",
    re.IGNORECASE,
)
#: Exempt files: the catalogue, the packages of the old clients, and an example with its data.
ITS_PLACES = (
    "catalogue/builtin/chromiumos.yaml",
    "catalogue/builtin/default.yaml",
    "cli/demo/",
    "devserver/",
    "http/resources/devserver/",
)
KINDS = {".py", ".sql", ".yaml", ".html", ".css", ".js", ".svg"}
TAG = "devserver"


def known_in(root: Path) -> Iterator[str]:
    """Yield each line of the package with such a word, except in exempt files."""
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root).as_posix()
        if path.suffix not in KINDS or place.startswith(ITS_PLACES):
            continue
        if WORDS.search(place):
            yield place
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if WORDS.search(line):
                yield f"{place}:{number}: {line.strip()}"


def known_in_contract(document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> set[str]:
    """Return the API's operations and schemas with such a word, except those of the old clients."""
    found = {
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if TAG not in json.dumps(operation.get("tags", []))
        if WORDS.search(json.dumps(operation))
    }
    schemas = document["components"]["schemas"]
    return found | {name for name, schema in schemas.items() if WORDS.search(json.dumps(schema))}


def test_no_file_of_the_package_knows_the_project() -> None:
    assert list(known_in(PACKAGE)) == []


def test_no_setting_is_explained_by_it() -> None:
    explained = {name: field.description or "" for name, field in Settings.model_fields.items()}
    assert [name for name, text in explained.items() if WORDS.search(name + text)] == []


def test_the_contract_of_no_other_route_knows_it() -> None:
    document = json.loads(OPENAPI.read_text())
    tags = {
        json.dumps(operation.get("tags"))
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if path in {"/stage", "/download/{bucket}/{path}"}
    }
    assert tags == {json.dumps([TAG])}
    assert known_in_contract(document) == set()


@pytest.mark.parametrize(
    ("place", "line", "bites"),
    [
        ("staging/work.py", "# as autotest does", True),
        ("errors.py", 'detail = "no Chrome OS build"', True),
        ("db/functions/x.sql", "-- of ChromiumOS", True),
        ("ui/templates/autotest.html", "<p>", True),
        ("devserver/builds.py", "# of Chromium OS", False),
        ("staging/work.py", "# a staged build, stated fully", False),
    ],
)
def test_the_search_bites(tmp_path: Path, place: str, line: str, bites: bool) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"one\n{line}\n")
    assert (list(known_in(tmp_path)) != []) is bites


def test_the_search_bites_in_the_contract() -> None:
    document = {
        "paths": {
            "/a": {"get": {"tags": [TAG], "summary": "autotest"}},
            "/b": {"get": {"tags": ["stagings"], "summary": "autotest"}},
        },
        "components": {"schemas": {"Build": {"example": "x86-generic"}}},
    }
    assert known_in_contract(document) == {"get /b", "Build"}  # type: ignore[arg-type]
