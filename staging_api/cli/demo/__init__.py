"""``staging-api demo``: stage a build from end to end on this machine, with all dependencies."""

import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from staging_api.cli.demo.build import make_build
from staging_api.cli.demo.screen import say
from staging_api.cli.demo.showing import show
from staging_api.cli.demo.staying import ARCHIVE_PORT, BIND, stay
from staging_api.cli.options import DemoBind
from staging_api.cli.output import exit_on_error


def demo(
    *,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Stage nothing; keep archive and service running until Ctrl-C."
        ),
    ] = False,
    bind: DemoBind = BIND,
    archive_port: Annotated[
        int,
        typer.Option(min=1, max=65535, metavar="PORT", help="With --keep: port of the archive."),
    ] = ARCHIVE_PORT,
) -> None:
    """Stage a build from end to end on this machine, show the rows, and clean up.

    Makes a build of about 30 MB, serves it on loopback, starts the service with a PostgreSQL of its
    own, stages the build twice and looks into the tables. Everything lies in a temporary folder.
    """
    # Both signals end the demo cleanly, even if its shell ignores Ctrl-C for background jobs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        exit_on_error(as_json=False, stopped="the demo was stopped; nothing is left behind"),
        tempfile.TemporaryDirectory(prefix="staging-demo-") as folder,
    ):
        home, archive = Path(folder, "var"), Path(folder, "archive")
        say("Make a build: payloads, tarballs, symbols and images")
        make_build(archive)
        if keep:
            stay(home, archive, bind, archive_port)
        else:
            show(home, archive)
        say("Everything is stopped; nothing is left behind")
