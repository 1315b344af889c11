"""All console and Python blocks of the README, run in the order of the page, as a reader runs them.

The test replaces only what it cannot rely on: the two fixed ports, which may be in use here, and
the reader's own addresses (builds.example.org). The output must be as the page shows it; `...`
stands for any text.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from staging_api.cli.demo.staying import ARCHIVE_PORT, BIND
from tests.builds import FULL_PAYLOAD, build
from tests.printed import ROOT, Reader, Terminal, blocks
from tests.service import eventually, free_port
from tests.source import archive_source

pytestmark = pytest.mark.timeout(300)

README = ROOT / "README.md"
_RUN = {"console", "python"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Yield a reader with free ports, an archive and a folder of its own."""
    folder = tmp_path_factory.mktemp("reader")
    programs = folder / "programs"
    programs.mkdir()
    script = f'#!/bin/sh\nexec {sys.executable} -m staging_api "$@"\n'
    (programs / "staging-api").write_text(script)
    # Installation is skipped: the `make` targets of every test run install the package already.
    (programs / "pip").write_text(f'#!/bin/sh\necho "$*" >> {folder}/pip.noted\n')
    made = "mkdir -p .venv/bin && touch .venv/bin/activate"
    (programs / "python3").write_text(f'#!/bin/sh\n[ "$*" = "-m venv .venv" ] && {made}\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    port, archive_port = free_port(), free_port()
    log = folder / "log"
    with (
        archive_source() as source,
        log.open("wb") as errors,
    ):
        source.add("board/R17-1208.0.0", build("readme"))
        terminal = Terminal(
            folder,
            errors,
            PATH=f"{programs}:{os.environ['PATH']}",
            PYTHONPATH=str(ROOT),
            STAGING_BIND=f"127.0.0.1:{port}",
            STAGING_SERVER=f"http://127.0.0.1:{port}",
            STAGING_DATABASE_URL="",
        )
        yield Reader(
            {
                BIND.replace("127.0.0.1", "localhost"): f"localhost:{port}",
                BIND: f"127.0.0.1:{port}",
                f"127.0.0.1:{ARCHIVE_PORT}": f"127.0.0.1:{archive_port}",
                "https://builds.example.org/archive": source.url,
                "make run": f"staging-api demo --keep --archive-port {archive_port}",
            },
            folder,
            log,
            terminal,
        )
        terminal.close()


def served(reader: Reader) -> bool:
    """Return whether the service of the page is ready."""
    url = f"http://{reader.here(BIND)}/readyz"
    status = reader.terminal.run(f"curl -s -o /dev/null -w '%{{http_code}}' {url} || true")
    return status.strip() == "200"


def test_the_page_shows_the_ports_at_which_make_run_listens():
    text = README.read_text()
    assert f"localhost:{BIND.rpartition(':')[2]}/" in text
    assert f"BUILD=http://127.0.0.1:{ARCHIVE_PORT}/" in text
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^run:.*\n\t\$\(BIN\)/staging-api demo --keep\n", makefile, re.MULTILINE)


def test_every_block_does_as_printed(reader: Reader):
    curl = shutil.which("curl")
    assert curl, "the page calls curl"
    first, ask, own, python = [b for b in blocks(README) if b.language in _RUN]
    assert [b.language for b in (first, ask, own, python)] == [
        *("console", "console", "console", "python")
    ]

    ((command, _),) = first.commands()
    with (reader.folder / "run.log").open("wb") as log:
        running = subprocess.Popen(
            ["bash", "-c", f"exec {reader.here(command).partition('#')[0]}"],
            stdout=log,
            stderr=log,
            cwd=reader.folder,
            env={
                **os.environ,
                "PATH": f"{reader.folder}/programs:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "STAGING_BIND": reader.here(BIND),
            },
            start_new_session=True,
        )
        try:

            def said() -> bool:
                text = (reader.folder / "run.log").read_text()
                assert running.poll() is None, text
                return "Running until Ctrl-C" in text

            eventually(said, "make run does not run")
            reader.follow(ask)
        finally:
            running.send_signal(signal.SIGINT)
            assert running.wait(60) in {0, 130}, (reader.folder / "run.log").read_text()

    *prepare, get, audit = own.commands()
    for command, _ in prepare:
        reader.terminal.run(reader.here(command))
    assert (reader.folder / "pip.noted").read_text() == "install .[embedded]\n"
    eventually(lambda: served(reader), "serve is not ready")
    for command, shown in (get, audit):
        reader.type(command, shown)
    staged = reader.folder / "R17-1208.0.0"
    assert (staged / FULL_PAYLOAD).stat().st_size

    shutil.rmtree(staged)
    printed = reader.terminal.run(f"{sys.executable} - <<'EOF'\n{reader.here(python.text)}\nEOF")
    assert printed.strip() == ""
    assert (staged / FULL_PAYLOAD).stat().st_size


def test_the_page_is_short_and_names_tests_that_exist():
    text = README.read_text()
    assert len(text.split()) < 600
    named = re.findall(r"`(tests/[\w/]+\.py)`", text)
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).is_file()] == []
