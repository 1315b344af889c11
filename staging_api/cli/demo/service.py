"""The service of the demo: a separate process, on an embedded PostgreSQL."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from staging_api.cli.demo.screen import command, console, say
from staging_api.environment import variables
from staging_api.errors import StagingApiError, Unavailable

#: Long enough for the first start, which creates a database.
_START_SECONDS = 120


@contextmanager
def service(home: Path, bind: str, source: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run two API processes and a worker during the block.

    Args:
        home: folder of the database and the store.
        bind: address and port of the API.
        source: URL prefix of the archives that may be staged.

    Yields:
        The URL, and the parent process.
    """
    url = f"http://{bind}"
    settings = {
        "STAGING_BIND": bind,
        "STAGING_HOME": str(home),
        "STAGING_SOURCES": f"{source}/",
        "STAGING_WORKERS": "2",
    }
    say("Start the service")
    command(" ".join(f"{k}={v}" for k, v in settings.items()) + " staging-api serve")
    log = home.parent / "service.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "staging_api", "serve"],
            # Empty, so that a database of the operator, named in this shell, is not used.
            env={**variables(), "STAGING_DATABASE_URL": "", **settings},
            stderr=errors,
        )
        try:
            _wait_until_ready(url, process)
            yield url, process
        except StagingApiError:
            console.print(log.read_text(), markup=False, highlight=False)
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def free_port() -> int:
    """Return a port that no process listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
            return
        time.sleep(0.1)
    raise Unavailable("the service of the demo did not start; its log is above")
