"""All console and Python blocks of the pages, run in the order of each page, as a reader runs them.

A page that runs `staging-api serve` gets that service, on an empty database of its own; the other
pages use the service of these tests.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import forked_command
from tests.builds import build
from tests.databases import Migrated
from tests.packages import control_text, deb
from tests.printed import PAGES, ROOT, Block, Reader, Terminal, blocks, to_run
from tests.service import Client, eventually, free_port
from tests.source import ArchiveSource

pytestmark = pytest.mark.timeout(300)

DOCS = ROOT / "docs"
#: Pages whose blocks another test runs, each with its number of blocks.
ELSEWHERE: Mapping[str, tuple[str, int]] = {
    "README.md": ("tests/acceptance/test_readme_as_printed.py", 4),
    "docs/explanation/documents.md": (
        "tests/integration/documents/test_documents_page_as_printed.py",
        5,
    ),
    "docs/explanation/lock.md": ("tests/integration/test_lock_as_library.py", 1),
    "docs/explanation/publisher.md": ("tests/acceptance/test_publisher_document.py", 4),
    "docs/how-to/kubernetes.md": ("tests/system/test_first_install.py", 2),
    "docs/how-to/operations.md": ("tests/integration/test_roles_and_backup.py", 1),
    "docs/tutorials/projects.md": ("tests/integration/test_tutorial.py", 4),
}
HERE = [
    page for page in PAGES if to_run(page) and page.relative_to(ROOT).as_posix() not in ELSEWHERE
]
#: The installed program, forked: the README's test starts it as a reader does.
_PROGRAM = """#!/bin/sh
case "$1" in
  serve) exec {} "$@" ;;
  *) exec {} "$@" ;;
esac
"""
_SERVICE = "http://127.0.0.1:8080"
_BUILD = "board/R17-1208.0.0"


@pytest.fixture
def reader(
    request: pytest.FixtureRequest, source: ArchiveSource, migrated: Migrated, tmp_path: Path
) -> Iterator[Reader]:
    """Yield the reader of a page, with an archive and some packages."""
    page: Path = request.param
    programs, packages, log = tmp_path / "bin", tmp_path / "packages", tmp_path / "log"
    for folder in (programs, packages, tmp_path / "home"):
        folder.mkdir()
    program = programs / "staging-api"
    forks = [forked_command.words(shares_metrics=shares) for shares in (True, False)]
    program.write_text(_PROGRAM.format(*map(shlex.join, forks)))
    program.chmod(0o755)
    for version in ("1.0", "2.0"):
        raw = deb(control_text("hello", version))
        (packages / f"hello_{version}_amd64.deb").write_bytes(raw)
    source.add(_BUILD, build("pages"))
    with migrated() as database_url, log.open("wb") as errors:
        own = "staging-api serve" in page.read_text()
        bind = f"127.0.0.1:{free_port()}"
        client: Client | None = None if own else request.getfixturevalue("client")
        url = f"http://{bind}" if client is None else client.url
        terminal = Terminal(
            tmp_path / "home",
            errors,
            PATH=f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            PYTHONPATH=str(ROOT),
            PACKAGES=str(packages),
            STAGING_BIND=bind,
            STAGING_WORKERS="1",
            STAGING_SERVER=url,
            STAGING_DATABASE_URL=database_url,
            STAGING_SOURCES=f"{source.url}/",
            STAGING_HOME=str(tmp_path / "var"),
        )
        places = {
            _SERVICE: url,
            "https://builds.example.org/archive": source.url,
            "gs://builds/board/R17-1": f"{source.url}/{_BUILD}",
            "postgresql://staging:...@db.example.org/staging": shlex.quote(database_url),
            "/srv/staging": str(tmp_path / "shared"),
        }
        yield Reader(places, tmp_path / "home", log, terminal)
        terminal.close()


def read(reader: Reader, block: Block) -> None:
    """Run a block as its reader would."""
    if block.language == "here":
        reader.terminal.run(block.text)
    elif block.file:
        path = reader.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reader.here(block.text))
    elif block.language == "python":
        reader.type(f"{sys.executable} - <<'EOF'\n{block.text}\nEOF", "")
    elif block.language == "console":
        for command, shown in block.commands():
            reader.type(command, shown)
            if "staging-api serve" in command:
                eventually(lambda: served(reader), "serve is not ready")


def served(reader: Reader) -> bool:
    """Return whether the service of the page is ready."""
    url = f"{reader.here(_SERVICE)}/readyz"
    status = reader.terminal.run(f"curl -s -o /dev/null -w '%{{http_code}}' {url} || true")
    return status.strip() == "200"


@pytest.mark.parametrize(
    "reader",
    HERE,
    indirect=True,
    ids=lambda page: page.relative_to(DOCS).as_posix(),
)
def test_a_page_does_as_printed(reader: Reader, request: pytest.FixtureRequest) -> None:
    page: Path = request.node.callspec.params["reader"]
    for block in blocks(page):
        read(reader, block)


def test_every_other_block_has_a_test_that_runs_it() -> None:
    for name, (test, count) in ELSEWHERE.items():
        assert to_run(ROOT / name) == count, f"{name}: is each block run by {test}?"
        assert (ROOT / test).is_file()
