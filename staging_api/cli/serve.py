"""``staging-api serve`` and ``staging-api api``: run the service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from staging_api.cli.importing import without_collection
from staging_api.cli.output import exit_on_error
from staging_api.db.embedded import starting
from staging_api.environment import share_metrics_in
from staging_api.processes.metrics_folder import metrics_folder
from staging_api.settings import Settings

WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True)]


def serve(
    worker: Annotated[
        bool | None,
        typer.Option(
            "--worker/--no-worker",
            help="Also run a worker; default: only with the embedded database.",
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
    with _shared_metrics(), _database_starting(settings) as start:
        with without_collection():
            from staging_api.processes.api_server import run_api
            from staging_api.processes.children import Children
            from staging_api.processes.run import prepare_forks, run_process
            from staging_api.processes.worker import run_worker

        def both(_ready: Settings) -> None:
            start.close()
            children = {"api": _forked(run_api, settings), "worker": _forked(run_worker, settings)}
            prepare_forks()
            Children(children).run()

        run_process(both, "both", with_parent=False)


def api(with_parent: WithParent = False) -> None:
    """Run only the API processes."""
    with _shared_metrics() as folder, _database_starting(Settings.from_env()) as start:
        with without_collection():
            from staging_api.processes.api_server import run_api
            from staging_api.processes.run import run_process

        def run(ready: Settings) -> None:
            start.close()
            run_api(ready)

        run_process(run, "api", with_parent=with_parent, metrics_dir=folder)


def _forked(run: Callable[[Settings], None], settings: Settings) -> Callable[[], None]:
    """Return a function that runs one kind of process in a fork, with metrics of its own."""

    def live() -> None:
        from staging_api.processes.run import run_below

        with exit_on_error(as_json=False), _shared_metrics() as folder:
            run_below(run, settings.model_copy(update={"metrics_dir": folder}))

    return live


def _database_starting(settings: Settings) -> ExitStack:
    """Start the embedded database in parallel to the imports and checks, which take longer.

    Its first start, which creates its folder, waits for them.

    Returns:
        A stack to close once the database is in use, or will not be used.
    """
    start = ExitStack()
    if not settings.database_url:
        start.enter_context(starting(settings.home, settings.postgres_binaries))
    return start


@contextmanager
def _shared_metrics() -> Iterator[str]:
    """Yield a folder in which the processes share their metrics."""
    with metrics_folder() as folder:
        share_metrics_in(folder)
        yield folder
