"""tmp."""

import typer


def main() -> None:
    from staging_api.cli.migrate import migrate
    from staging_api.cli.serve import api, serve
    from staging_api.cli.worker import worker

    app = typer.Typer()
    for f in (serve, api, worker, migrate):
        app.command()(f)
    app()
