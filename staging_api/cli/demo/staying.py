"""The interactive demo: the archive and the service run for the reader's own requests."""

import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path

from staging_api.cli.demo.archive import serving
from staging_api.cli.demo.build import BUILD
from staging_api.cli.demo.screen import command, say
from staging_api.cli.demo.service import service
from staging_api.errors import AddressTaken, StagingApiError

#: The same as in the README.
BIND, ARCHIVE_PORT = "127.0.0.1:8080", 8000
#: Slow enough to send a second request while the first one is still being served.
_BYTES_PER_SECOND = 1.5e6


def stay(home: Path, archive: Path, bind: str, archive_port: int) -> None:
    """Serve the archive and the service until Ctrl-C, or until the service ends by itself.

    Args:
        home: folder of the database and the store.
        archive: the folder of the builds.
        bind: address and port of the service.
        archive_port: port of the archive, on loopback.

    Raises:
        AddressTaken: another program listens at an address.
        StagingApiError: the service ended.
    """
    _refuse_taken("STAGING_BIND or --bind", bind)
    _refuse_taken("--archive-port", f"127.0.0.1:{archive_port}")
    with (
        serving(archive, _BYTES_PER_SECOND, archive_port) as (source, _),
        service(home, bind, source) as (url, process),
        suppress(KeyboardInterrupt),
    ):
        program = _program()
        say(f"Running until Ctrl-C. Open {url}/ or try, in another terminal:")
        for line in (
            f"export STAGING_SERVER={url} BUILD={source}/{BUILD}",
            f"{program} get $BUILD -o build        # stage it, and bring its files to a folder",
            f"{program} status",
        ):
            command(line)
        raise StagingApiError(f"the service ended with status {process.wait()}")


def _refuse_taken(name: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        # With the same options as the service, so that lingering connections of an earlier demo do
        # not occupy the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not HOST:PORT"
            raise AddressTaken(f"{address} cannot be used ({why}): set {name}") from None


def _program() -> str:
    """Return the name by which another terminal finds this command."""
    if shutil.which("staging-api"):
        return "staging-api"
    path = Path(sys.executable).with_name("staging-api")
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
