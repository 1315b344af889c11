"""tmp."""

import typer


def main() -> None:
    from staging_api.cli.serve import serve, api
    from staging_api.cli.worker import worker
    from staging_api.cli.migrate import migrate

    app = typer.Typer()
    for f in (serve, api, worker, migrate):
        app.command()(f)
    app()
