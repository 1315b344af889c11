"""The automatic demo: stage a build once, show its rows, and read a part of it."""

import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

from rich.table import Table

from staging_api.cli.demo.archive import serving
from staging_api.cli.demo.build import BUILD
from staging_api.cli.demo.screen import command, console, say
from staging_api.cli.demo.service import free_port, service
from staging_api.db.embedded import running
from staging_api.db.engine import open_database
from staging_api.environment import variables
from staging_api.errors import StagingApiError

_QUERIES = (
    """SELECT name, phase, state, size_bytes, left(sha256, 12) AS sha256, attempt
FROM staged_artifacts ORDER BY id""",
    """SELECT caller, holder, fence, ended_at - acquired_at AS held, outcome
FROM api_locks WHERE kind = 'archive' ORDER BY id""",
)
#: Fast, but slow enough to see a progress bar move.
_BYTES_PER_SECOND = 30e6
_RANGE = "bytes=0-15"


def show(home: Path, archive: Path) -> None:
    """Stage a build twice, show the tables, and fetch a part of a file.

    Raises:
        StagingApiError: a step failed.
    """
    bind = f"127.0.0.1:{free_port()}"
    with (
        serving(archive, _BYTES_PER_SECOND) as (source, read),
        service(home, bind, source) as (url, _),
    ):
        _stage_twice(url, f"{source}/{BUILD}", read)
        with running(home) as server:
            _show_rows(server.url)
        _fetch_range(url)


def _stage_twice(url: str, archive_url: str, read: list[str]) -> None:
    say(f"Stage {archive_url}")
    _staging_api(url, "stage", archive_url, "--background")
    # Without the manifest, which is read again to see whether the upload is complete.
    objects = [path for path in read if not path.endswith("/UPLOADED")]
    console.print(f"the archive had requests for {len(objects)} objects, each once")
    if len(set(objects)) != len(objects):
        raise StagingApiError(f"an object was read twice: {objects}")
    say("Ask again: it is staged, so nothing is fetched")
    _staging_api(url, "stage", archive_url, "--background")
    if len([path for path in read if not path.endswith("/UPLOADED")]) != len(objects):
        raise StagingApiError(f"requested again, and more was read: {read[len(objects) :]}")


def _staging_api(url: str, *arguments: str) -> None:
    command(f"staging-api {' '.join(arguments)}")
    words = [sys.executable, "-m", "staging_api", *arguments]
    ended = subprocess.run(words, env={**variables(), "STAGING_SERVER": url}, check=False)
    if ended.returncode:
        raise StagingApiError(f"staging-api {arguments[0]} ended with status {ended.returncode}")


def _show_rows(database_url: str) -> None:
    with closing(open_database(database_url, 1)) as database:
        for query in _QUERIES:
            say("Ask the tables")
            console.print(query, style="bold", highlight=False)
            with database.connect() as conn:
                rows = conn.exec_driver_sql(query)
                table = Table(*rows.keys())
                for row in rows:
                    table.add_row(*map(str, row))
            console.print(table)


def _fetch_range(url: str) -> None:
    """Fetch the first bytes of a staged file, like a client that resumes a download."""
    address = f"{url}/static/{BUILD}/update.gz"
    say(f"Fetch {_RANGE} of {address}")
    request = urllib.request.Request(address, headers={"Range": _RANGE})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
        console.print(f"{answer.status} {answer.headers['Content-Range']} {body.hex()}")
        if (answer.status, len(body)) != (206, 16):
            raise StagingApiError("that is not the requested range")
