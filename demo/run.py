"""The main job from end to end on this machine: a build is staged once, shown, and fetched.

``make demo`` runs it and cleans up. ``make run`` starts the same archive and service, at the ports
that the README shows, stages nothing, and stays until Ctrl-C: the requests are the reader's own.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from demo.archive import serving
from staging_api.db.embedded import running

HERE = Path(__file__).parents[1]
BUILD = "x86-generic-release/R17-1208.0.0-a1-b338"
QUERIES = (
    """SELECT name, phase, state, size_bytes, left(sha256, 12) AS sha256, attempt
FROM staged_artifacts ORDER BY id""",
    """SELECT caller, holder, fence, ended_at - acquired_at AS held, outcome
FROM api_locks WHERE kind = 'archive' ORDER BY id""",
)
PACE = 30e6  # bytes per second: quick, and slow enough to see a bar move
SLOW_PACE = 1.5e6  # slow enough to ask a second time while the first request still works
BIND, ARCHIVE_PORT = "127.0.0.1:8080", 8000  # as the README says

console = Console()


def main() -> None:
    """Run every step; any failure ends the demo with a status other than 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stage nothing, stay until Ctrl-C")
    parser.add_argument("--archive-port", type=int, default=ARCHIVE_PORT, help="with --keep")
    arguments = parser.parse_args()
    # Both end it in good order, also where the shell that started it ignores Ctrl-C for its jobs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="staging-demo-") as folder:
        home, archive = Path(folder, "var"), Path(folder, "archive")
        say("Make a build: payloads, tarballs, symbols and images")
        make_build(archive)
        if arguments.keep:
            stay(home, archive, arguments.archive_port)
        else:
            show(home, archive)
    say("Everything is stopped; nothing is left behind")


def show(home: Path, archive: Path) -> None:
    """Stage a build twice, look into the tables, and fetch a part of a file."""
    bind = f"127.0.0.1:{free_port()}"
    with serving(archive, PACE) as (source, read), service(home, bind, source) as (url, _):
        stage_twice(url, f"{source}/{BUILD}", read)
        with running(home) as server:
            show_rows(server.url)
        fetch_range(url)


def stay(home: Path, archive: Path, archive_port: int) -> None:
    """Serve the archive and the service until Ctrl-C, or until the service ends by itself."""
    bind = os.environ.get("STAGING_BIND", BIND)
    for name, address in (
        ("STAGING_BIND", bind),
        ("the archive's port (--archive-port)", f"127.0.0.1:{archive_port}"),
    ):
        refuse_taken(name, address)
    with (
        serving(archive, SLOW_PACE, archive_port) as (source, _),
        service(home, bind, source) as (url, process),
        suppress(KeyboardInterrupt),
    ):
        say("Running until Ctrl-C. Try, in another terminal:")
        for line in (
            f"BUILD={source}/{BUILD}",
            f"export STAGING_SERVER={url}",
            ".venv/bin/staging-api stage $BUILD --artifact symbols",
            ".venv/bin/staging-api status",
        ):
            command(line)
        raise SystemExit(f"the service ended with status {process.wait()}")


def refuse_taken(name: str, address: str) -> None:
    """End with one line if something listens there already."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise SystemExit(f"{address} cannot be used ({error.strerror}): set {name}") from None


def make_build(archive: Path) -> None:
    """Write a build of about 30 MB, shaped like a Chromium OS one."""
    program = HERE / "benchmarks" / "make_build.py"
    subprocess.run(
        [sys.executable, program, archive, "--scale", "0.02"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def service(home: Path, bind: str, source: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Two API processes and a worker on the embedded PostgreSQL, for the block: URL and parent."""
    url = f"http://{bind}"
    settings = {
        "STAGING_BIND": bind,
        "STAGING_HOME": str(home),
        "STAGING_SOURCES": f"{source}/",
        "STAGING_WORKERS": "2",
    }
    say("Start the service")
    command(" ".join(f"{k}={v}" for k, v in settings.items()) + " staging-api serve")
    with (home.parent / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "staging_api", "serve"],
            env={**os.environ, "STAGING_DATABASE_URL": "", **settings},
            stderr=log,
        )
        try:
            wait_until_ready(url, process)
            yield url, process
        except BaseException:
            console.print((home.parent / "service.log").read_text(), markup=False)
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait for /readyz; the first start makes a database."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
            return
        time.sleep(0.1)
    raise SystemExit("the service did not start")


def stage_twice(url: str, archive_url: str, read: list[str]) -> None:
    """Stage a build through the command line, and ask for it again."""
    say(f"Stage {archive_url}")
    staging_api(url, "stage", archive_url, "--background")
    objects = [path for path in read if not path.endswith("/UPLOADED")]
    console.print(f"the archive was asked for {len(objects)} objects, each once")
    if len(set(objects)) != len(objects):
        raise SystemExit(f"an object was read twice: {objects}")
    say("Ask again: it is staged, so nothing is fetched")
    staging_api(url, "stage", archive_url, "--background")
    if len([path for path in read if not path.endswith("/UPLOADED")]) != len(objects):
        raise SystemExit(f"asked again, and more was read: {read[len(objects) :]}")


def staging_api(url: str, *arguments: str) -> None:
    """Run the command line as a user would."""
    command(f"staging-api {' '.join(arguments)}")
    words = [sys.executable, "-m", "staging_api", *arguments]
    subprocess.run(words, env={**os.environ, "STAGING_SERVER": url}, check=True)


def show_rows(database_url: str) -> None:
    """What an auditor sees."""
    for query in QUERIES:
        say("Ask the tables")
        console.print(query, style="bold", highlight=False)
        dsn = make_url(database_url).set(drivername="postgresql").render_as_string(False)
        conn = psycopg2.connect(dsn)
        with conn, conn.cursor() as cursor:
            cursor.execute(query)
            table = Table(*(column.name for column in cursor.description or ()))
            for row in cursor:
                table.add_row(*map(str, row))
        conn.close()
        console.print(table)


def fetch_range(url: str) -> None:
    """The first bytes of a staged file, as a client resumes a download."""
    say(f"Fetch bytes 0-15 of {url}/static/{BUILD}/update.gz")
    request = urllib.request.Request(
        f"{url}/static/{BUILD}/update.gz", headers={"Range": "bytes=0-15"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
        console.print(f"{answer.status} {answer.headers['Content-Range']} {body.hex()}")
        if (answer.status, len(body)) != (206, 16):
            raise SystemExit("that is not the range that was asked for")


def command(line: str) -> None:
    """Print a command in one line, however narrow the terminal is: so it can be copied."""
    console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def say(text: str) -> None:
    """Head a step."""
    console.rule(f"[bold cyan]{text}", align="left")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
