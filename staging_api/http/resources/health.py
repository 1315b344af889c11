"""Probes, metrics and the OpenAPI document."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import falcon
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client import REGISTRY as THIS_PROCESS
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from staging_api.errors import StagingApiError
from staging_api.http.bodies import Ready
from staging_api.http.probes import Check, Reading

# Kubelets, load balancers and people may send many probes at once: one check a second is enough.
_KEPT_SECONDS = 1.0
_KEPT_READINGS_SECONDS = 5.0


class Liveness:
    """Liveness probe: the process answers and its threads run; needs no other system."""

    def __init__(self, threads: Check) -> None:
        """Take `threads`, which raises if a required thread does not run."""
        self._threads = threads

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200; or 503, so that the process is restarted."""
        self._threads()
        resp.media = {"status": "live"}


class Readiness:
    """Readiness probe: fails while the process drains, or lacks something that requests need."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        """Run these checks, by their names in the report."""
        self._checks = checks
        self._looked_at = float("-inf")
        self._found: Mapping[str, str] = {}

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Report the result of each check; 503 unless all succeed."""
        if time.monotonic() - self._looked_at > _KEPT_SECONDS:
            # No mutex: two concurrent probes run the checks twice, and a check that hangs blocks no
            # other probe.
            self._found = {name: _result_of(check) for name, check in self._checks.items()}
            self._looked_at = time.monotonic()
        ready = set(self._found.values()) == {"ok"}
        if not ready:
            resp.status = falcon.HTTP_503
            resp.set_header("Retry-After", "2")
        found = Ready(status="ready" if ready else "not_ready", checks=dict(self._found))
        resp.media = found.model_dump()


class Metrics:
    """Metrics of all processes of this pod together, in Prometheus' text format."""

    def __init__(
        self, multiprocess_dir: str | None, readings: Callable[[], Iterator[Reading]]
    ) -> None:
        """Show the metrics of this process only if there is no folder that the processes share.

        Args:
            readings: numbers that the database or the disk has, which no process counts; read every
                few seconds at most.
        """
        self._shared = multiprocess_dir
        self._live = CollectorRegistry()
        self._live.register(_Readings(readings))

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Show every counter and histogram."""
        registry: Any = THIS_PROCESS
        if self._shared and Path(self._shared).is_dir():
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._shared)  # type: ignore[no-untyped-call]
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = generate_latest(registry) + generate_latest(self._live)


class OpenApiDocument:
    """The OpenAPI document, built on the first request."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = cache(make)

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Send the document."""
        resp.media = self._make()


class _Readings:
    """Prometheus collector of readings; unreadable ones are left out."""

    def __init__(self, read: Callable[[], Iterator[Reading]]) -> None:
        self._read = read
        self._read_at = float("-inf")
        self._kept: list[Reading] = []

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing: a collection would query the database while the application is built."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every reading, with a label named `of`."""
        if time.monotonic() - self._read_at > _KEPT_READINGS_SECONDS:
            self._kept = list(self._read())
            self._read_at = time.monotonic()
        for name, meaning, values in self._kept:
            family = GaugeMetricFamily(name, meaning, labels=["of"])
            for label, value in values.items():
                family.add_metric([label], value)
            yield family


def _result_of(check: Check) -> str:
    try:
        check()
    except StagingApiError as error:
        return error.detail
    return "ok"
