"""Probes, metrics and the document that describes the API."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import falcon
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client import REGISTRY as THIS_PROCESS
from prometheus_client.multiprocess import MultiProcessCollector

from staging_api.db.engine import Database
from staging_api.db.migrate import check_schema
from staging_api.errors import StagingApiError
from staging_api.http.bodies import Ready


class Live:
    """Whether this process answers at all; asks nobody else."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Say yes."""
        resp.media = {"status": "live"}


class Readiness:
    """Whether requests can be served: the database answers, and has the schema."""

    def __init__(self, database: Database) -> None:
        """Take what is checked."""
        self._database = database

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Say what was found; 503 unless everything is in order."""
        try:
            check_schema(self._database)
        except StagingApiError as error:
            resp.status = falcon.HTTP_503
            resp.set_header("Retry-After", "2")
            found = Ready(status="not_ready", checks={"database": error.detail})
        else:
            found = Ready(status="ready", checks={"database": "ok"})
        resp.media = found.model_dump()


class Metrics:
    """Prometheus' text format, of all processes of this pod together."""

    def __init__(self, multiprocess_dir: str | None) -> None:
        """Without a folder shared by the processes, show this one's."""
        self._shared = multiprocess_dir

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Show every counter and histogram."""
        registry: Any = THIS_PROCESS
        if self._shared and Path(self._shared).is_dir():
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._shared)  # type: ignore[no-untyped-call]
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = generate_latest(registry)


class OpenApiDocument:
    """The OpenAPI document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Made with the application: its making is not safe among threads."""
        self._document = document

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Show it."""
        resp.media = self._document
