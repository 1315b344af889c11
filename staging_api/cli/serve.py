"""``staging-api serve`` and ``staging-api api``: run the service."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from staging_api.cli.importing import without_collection
from staging_api.cli.output import exit_on_error
from staging_api.environment import share_metrics_in
from staging_api.processes.metrics_folder import metrics_folder
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

    Settings are environment variables STAGING_...: see docs/reference/settings.md.
    """
    settings = Settings.from_env()
    if worker is None:
        worker = not settings.database_url
    if not worker:
        api()
        return
    with _shared_metrics():
        with without_collection():
            from staging_api.processes.api_server import run_api
            from staging_api.processes.children import Children
            from staging_api.processes.run import run_process
            from staging_api.processes.worker import run_worker

        def both(_ready: Settings) -> None:
            children = {"api": _forked(run_api), "worker": _forked(run_worker)}
            gc.collect()  # what the check of the configuration built
            gc.freeze()  # what no pass looks at stays shared
            Children(children).run()

        run_process(both, "both", with_parent=False)


def api(with_parent: WithParent = False) -> None:
    """Run only the API processes."""
    with _shared_metrics() as folder:
        with without_collection():
            from staging_api.processes.api_server import run_api
            from staging_api.processes.run import run_process

        run_process(run_api, "api", with_parent=with_parent, metrics_dir=folder)


def _forked(run: Callable[[Settings], None]) -> Callable[[], None]:
    """Return what runs one kind of process in a fork of this one, with metrics of its own."""

    def live() -> None:
        from staging_api.processes.run import with_database

        with _shared_metrics() as folder, exit_on_error(as_json=False):
            # With a use of its own: should the embedded server be gone, this starts it again.
            with_database(run, Settings.from_env(metrics_dir=folder))

    return live


@contextmanager
def _shared_metrics() -> Iterator[str]:
    """Yield a folder in which the processes share their metrics."""
    with metrics_folder() as folder:
        share_metrics_in(folder)
        yield folder
