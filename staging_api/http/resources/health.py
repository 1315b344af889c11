"""Probes, metrics and the document that describes the API."""

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

# Many may ask at once: kubelets, load balancers, people. One look a second is enough for all.
_KEPT_SECONDS = 1.0
_KEPT_READINGS_SECONDS = 5.0


class Liveness:
    """Whether this process answers and has its threads; needs no other system."""

    def __init__(self, threads: Check) -> None:
        """`threads` raises if a thread that the process needs does not run."""
        self._threads = threads

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Say yes; or 503, so that the process is started anew."""
        self._threads()
        resp.media = {"status": "live"}


class Readiness:
    """Whether requests should come here: not while draining, nor without what they need."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        """Check these, by the names of the report."""
        self._checks = checks
        self._looked_at = float("-inf")
        self._found: Mapping[str, str] = {}

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Say what was found; 503 unless everything is in order."""
        if time.monotonic() - self._looked_at > _KEPT_SECONDS:
            # Without a mutex: two probes at once look twice, and a check that hangs blocks no other
            # probe.
            self._found = {name: _result_of(check) for name, check in self._checks.items()}
            self._looked_at = time.monotonic()
        ready = set(self._found.values()) == {"ok"}
        if not ready:
            resp.status = falcon.HTTP_503
            resp.set_header("Retry-After", "2")
        found = Ready(status="ready" if ready else "not_ready", checks=dict(self._found))
        resp.media = found.model_dump()


class Metrics:
    """Prometheus' text format, of all processes of this pod together."""

    def __init__(
        self, multiprocess_dir: str | None, readings: Callable[[], Iterator[Reading]]
    ) -> None:
        """Without a folder shared by the processes, show this one's.

        Args:
            readings: what no process counts, because the database or the disk knows it; read
                every few seconds at most.
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
    """The OpenAPI document, made when it is first asked for."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = cache(make)

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Show it."""
        resp.media = self._make()


class _Readings:
    """Readings as metrics; what cannot be read is left out."""

    def __init__(self, read: Callable[[], Iterator[Reading]]) -> None:
        self._read = read
        self._read_at = float("-inf")
        self._kept: list[Reading] = []

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: asking now would ask the database while the application is built."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every reading, with a label named `of`."""
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
