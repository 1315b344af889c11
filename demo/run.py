"""The main job from end to end on this machine: a build is staged once, shown, and fetched.

``make demo`` runs it and cleans up; ``make run`` leaves everything running until Ctrl-C.
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

console = Console()


def main() -> None:
    """Run every step; any failure ends the demo with a status other than 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay until Ctrl-C")
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory(prefix="staging-demo-") as folder:
        home, archive = Path(folder, "var"), Path(folder, "archive")
        say("Make a build: payloads, tarballs, symbols and images")
        make_build(archive)
        with serving(archive, PACE) as (source, read), service(home, source) as (url, process):
            stage_twice(url, f"{source}/{BUILD}", read)
            with running(home) as server:
                show_rows(server.url)
            fetch_range(url)
            if keep:
                stay(url, f"{source}/{BUILD}", process)
    say("Everything is stopped; nothing is left behind")


def make_build(archive: Path) -> None:
    """Write a build of about 30 MB, shaped like a Chromium OS one."""
    program = HERE / "benchmarks" / "make_build.py"
    subprocess.run(
        [sys.executable, program, archive, "--scale", "0.02"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def service(home: Path, source: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Two API processes and a worker on the embedded PostgreSQL, for the block: URL and parent."""
    bind = f"127.0.0.1:{free_port()}"
    url = f"http://{bind}"
    settings = {
        "STAGING_BIND": bind,
        "STAGING_HOME": str(home),
        "STAGING_SOURCES": f"{source}/",
        "STAGING_WORKERS": "2",
    }
    say("Start the service: " + " ".join(f"{k}={v}" for k, v in settings.items()))
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
    console.print(f"$ staging-api {' '.join(arguments)}", style="bold", highlight=False)
    command = [sys.executable, "-m", "staging_api", *arguments]
    subprocess.run(command, env={**os.environ, "STAGING_SERVER": url}, check=True)


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


def stay(url: str, archive_url: str, process: "subprocess.Popen[bytes]") -> None:
    """Leave it running for the reader, or until somebody else ends it."""
    say("Running until Ctrl-C. Try, in another terminal:")
    console.print(f"  export STAGING_SERVER={url}", highlight=False)
    console.print(
        f"  .venv/bin/staging-api stage {archive_url} --artifact symbols", highlight=False
    )
    console.print("  .venv/bin/staging-api status", highlight=False)
    with suppress(KeyboardInterrupt):
        raise SystemExit(f"the service ended with status {process.wait()}")


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
