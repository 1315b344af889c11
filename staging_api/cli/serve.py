"""``staging-api serve`` and ``staging-api api``: run the service."""

from typing import Annotated

import typer

from staging_api.serving import Children, child_command, in_child, run_api
from staging_api.settings import Settings

WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True)]


def serve(
    worker: Annotated[
        bool | None,
        typer.Option(
            "--worker/--no-worker",
            help="Run a worker too; by default only with the embedded database.",
        ),
    ] = None,
) -> None:
    """Run the API, and on the embedded default a worker, until stopped.

    Settings are environment variables STAGING_...: see the README.
    """
    settings = Settings.from_env()
    if worker is None:
        worker = not settings.database_url
    if not worker:
        api()
        return

    def both(_ready: Settings) -> None:
        Children([child_command("api"), child_command("worker")]).run()

    in_child(both, with_parent=False)


def api(with_parent: WithParent = False) -> None:
    """Run only the API processes."""
    in_child(run_api, with_parent=with_parent)
