"""``staging-api worker``: stage what requests left for later."""

from typing import Annotated

import typer

from staging_api.processes.serving import in_child, run_worker


def worker(
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run a worker until stopped: background artifacts, and interrupted stagings."""
    in_child(run_worker, "worker", with_parent=with_parent)
