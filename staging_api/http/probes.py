"""Checks and readings that the probes of a process report."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

#: A check raises a `StagingApiError` that names the fault, or does nothing.
Check = Callable[[], None]
#: Numbers that are read for each request to /metrics: name, meaning, value by label.
Reading = tuple[str, str, Mapping[str, float]]


def no_threads() -> None:
    """Check the threads of a process without background threads: find no fault."""


@dataclass(frozen=True)
class Probes:
    """The probes of a process.

    Attributes:
        ready: checks that must pass before requests are sent to this process, by name.
        readings: numbers from the database and the disk, for /metrics.
        metrics_dir: folder shared by the processes of the pod; None: metrics of this process only.
        threads: checks the background threads.
    """

    ready: Mapping[str, Check]
    readings: Callable[[], Iterator[Reading]]
    metrics_dir: str | None = None
    threads: Check = no_threads
