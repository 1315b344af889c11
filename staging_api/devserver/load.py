"""Load of this machine, from the kernel's counters."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SECTOR_BYTES = 512
#: Rates over a shorter time would be noise; the previous ones are reported again.
_SHORTEST_SECONDS = 1.0


@dataclass(frozen=True)
class Counters:
    """Counters of the kernel since the machine started."""

    at: float
    cpu_busy: int
    cpu_all: int
    network_bytes: int
    disk_bytes: int

    @classmethod
    def read(cls, proc: Path = Path("/proc")) -> "Counters":
        """Read the counters; those that this system lacks are 0."""
        cpu = next(_rows(proc / "stat"), [])
        # proc(5): user nice system idle iowait irq softirq steal; guest is in user already.
        ticks = [int(word) for word in cpu[1:9]] or [0] * 8
        return cls(
            at=time.monotonic(),
            cpu_busy=sum(ticks) - ticks[3] - ticks[4],
            cpu_all=sum(ticks),
            network_bytes=sum(_network(proc)),
            disk_bytes=_SECTOR_BYTES * sum(_sectors(proc)),
        )


class Rates:
    """Converts counters into rates since the previous reading."""

    def __init__(self, seconds: float = _SHORTEST_SECONDS) -> None:
        """Start counting now; rates cover at least `seconds`."""
        self._seconds = seconds
        self._last = Counters.read()
        self._mutex = threading.Lock()
        self._newest = _rates(self._last, self._last)

    def now(self) -> dict[str, float]:
        """Return CPU in percent of all cores; network and disk in bytes per second, both ways."""
        with self._mutex:
            seen = Counters.read()
            if seen.at - self._last.at >= self._seconds:
                self._newest, self._last = _rates(self._last, seen), seen
            return self._newest


def _rates(before: Counters, after: Counters) -> dict[str, float]:
    seconds = max(after.at - before.at, 1e-9)
    ticks = max(after.cpu_all - before.cpu_all, 1)
    return {
        "cpu_percent": round(100 * (after.cpu_busy - before.cpu_busy) / ticks, 1),
        "network_total_bytes_per_second": round(
            (after.network_bytes - before.network_bytes) / seconds
        ),
        "disk_total_bytes_per_second": round((after.disk_bytes - before.disk_bytes) / seconds),
    }


def _network(proc: Path) -> Iterator[int]:
    """Yield bytes received and sent by each interface except loopback."""
    for row in _rows(proc / "net" / "dev"):
        # Two lines of headings have no number in this column.
        if row[0] != "lo:" and row[1].isdigit():
            yield int(row[1]) + int(row[9])


def _sectors(proc: Path) -> Iterator[int]:
    """Yield sectors read and written by each whole disk; stacked devices are counted again."""
    for row in _rows(proc / "diskstats"):
        name = row[2]
        if not name.startswith(("loop", "ram", "dm-", "md")) and _is_whole(name):
            yield int(row[5]) + int(row[9])


def _is_whole(disk: str) -> bool:
    return Path("/sys/block", disk).exists()


def _rows(path: Path) -> Iterator[list[str]]:
    with suppress(OSError):
        for line in path.read_text().splitlines():
            yield line.split()
