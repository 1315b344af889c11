"""Modules that the processes of tests import before they fork pods or commands.

A pod imports most of them only once it knows its settings; each fork would do so again.
"""


def import_for_forks() -> None:
    """Import what the service needs with default settings, and the screens of the dashboard."""
    from staging_api.cli.importing import without_collection

    with without_collection():
        import psycopg2.extras  # noqa: F401
        import urllib3  # noqa: F401

        from staging_api.cli import serve, worker  # noqa: F401
        from staging_api.processes import api_server, run  # noqa: F401
        from staging_api.processes import worker as worker_process  # noqa: F401
        from staging_api.sources import http  # noqa: F401
        from staging_api.ui import dependencies, folder_pages, routes  # noqa: F401
