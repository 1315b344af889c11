"""The checks and readings that the probes of a process report."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

#: Raises a `StagingApiError`, which names the fault, or does nothing.
Check = Callable[[], None]
#: Numbers that are read for each look at /metrics: name, meaning, value by label.
Reading = tuple[str, str, Mapping[str, float]]


def no_threads() -> None:
    """Find nothing wrong: of a process without background threads."""


@dataclass(frozen=True)
class Probes:
    """The probes of a process.

    Attributes:
        ready: what must be in order for requests to come here, by name.
        readings: what the database and the disk know, for /metrics.
        metrics_dir: shared by the processes of the pod; None: metrics of this process only.
        threads: checks what runs beside requests.
    """

    ready: Mapping[str, Check]
    readings: Callable[[], Iterator[Reading]]
    metrics_dir: str | None = None
    threads: Check = no_threads
