"""Built documentation: every page is linked, no link is broken, nothing loads from other hosts."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from runpy import run_path

import pytest

from staging_api.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
#: Tags and attributes that make a browser send a request without a click.
_LOADS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "input": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
_FOREIGN = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
#: Variables of clients, which are not settings of the service.
_CLIENTS = {"SERVER", "TOKEN"}
#: Variables that the publisher passes to hooks.
_HOOKS = {"ARCHIVE", "GENERATION", "OPERATION", "PUBLICATION", "SUITES"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site; warnings, such as a broken link or an unlisted page, are errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-b", "html"),
            *(str(DOCS), str(folder), "-d", str(folder / ".doctrees")),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


class Requests(HTMLParser):
    """Parser that collects the requests that a browser sends for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name == _LOADS.get(tag) or name in {"srcset", "poster", "background"}):
                self.found.append(value)
            if value and name == "style":
                self.found += re.findall(r"url\(\s*['\"]?([^'\")]+)", value)


def requests_of(file: Path) -> Iterator[str]:
    """Yield the addresses that a file of the site makes a browser request."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".html":
        parser = Requests()
        parser.feed(text)
        yield from parser.found
    if file.suffix in {".css", ".svg", ".html"}:
        yield from re.findall(r"url\(\s*['\"]?([^'\")]+)", text)
        yield from re.findall(r"@import\s+['\"]([^'\"]+)", text)
    if file.suffix == ".js":
        yield from re.findall(r"(?:fetch|importScripts|import)\(\s*['\"]([^'\"]+)", text)
        yield from re.findall(r"\.src\s*=\s*['\"]([^'\"]+)", text)


def test_nothing_of_the_site_comes_from_another_host(site: Path) -> None:
    files = [f for f in site.rglob("*") if f.suffix in {".html", ".css", ".js", ".svg"}]
    asked = {(file.name, each) for file in files for each in requests_of(file)}
    assert len(asked) > 100
    assert {pair for pair in asked if _FOREIGN.match(pair[1])} == set()


def test_the_site_is_searched_without_a_server(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")
    assert '"fenc"' in index  # by the search's word stems: fence, fencing, fenced
    page = (site / "search.html").read_text(encoding="utf-8")
    assert 'src="searchindex.js"' in page


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in PAGES:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file(), page


def test_pictures_match_the_program_that_draws_them() -> None:
    made = run_path(str(DOCS / "pictures.py"))
    for name, picture in made["PICTURES"].items():
        assert (DOCS / "images" / f"{name}.svg").read_text() == made["drawn"](picture), name


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
        .strip()
        .replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize(
    "page",
    [*sorted(ROOT.glob("*.md")), *PAGES, *sorted((ROOT / "charts").rglob("*.md"))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} of {page.name}"
        assert not anchor or anchor in anchors(target), f"{link} of {page.name}"


def test_pages_name_only_settings_that_exist() -> None:
    known = {name.upper() for name in Settings.model_fields} | _CLIENTS | _HOOKS
    for page in [ROOT / "README.md", *PAGES]:
        if page.name == "tables.md":
            continue  # generated from the comments of columns
        named = set(re.findall(r"\bSTAGING_([A-Z][A-Z0-9_]*[A-Z0-9])\b(?!\*|_)", page.read_text()))
        unknown = {name for name in named - known if not any(k.startswith(name) for k in known)}
        assert unknown == set(), page
