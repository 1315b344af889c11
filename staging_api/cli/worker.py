"""``staging-api worker``: stage background artifacts, and continue interrupted stagings."""

from typing import Annotated

import typer

from staging_api.processes.run import run_process
from staging_api.processes.worker import run_worker


def worker(
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run a worker until stopped: background artifacts, and interrupted stagings."""
    run_process(run_worker, "worker", with_parent=with_parent)
