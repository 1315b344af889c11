"""Metrics of processes: each counts in its own file, also a fork."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.metrics import _ReservedFile

_FIRST = 64 << 10
_COUNTS = """
import os
from staging_api import metrics
from staging_api.metrics import DATABASE_UNAVAILABLE as counter
counter.inc(2)
child = os.fork()
if not child:
    counter.inc(5)
    os._exit(0)
os.waitpid(child, 0)
counter.inc()
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(os.getpid(), child)
print(generate_latest(registry).decode())
"""

_FINDS_NO_SPACE = """
import errno, os
from pathlib import Path
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
reserved = os.posix_fallocate
def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
def show():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    print(generate_latest(registry).decode())
os.posix_fallocate = full
from staging_api import metrics
metrics.DATABASE_UNAVAILABLE.inc(2)
files = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir()
print(sum(file.stat().st_blocks for file in files), "blocks")
show()
print("---")
os.posix_fallocate = reserved
metrics.DATABASE_UNAVAILABLE.inc()
metrics.LOCK_RENEWALS_LATE.inc()
show()
print("---")
os.posix_fallocate = full
for number in range(3000):
    metrics.LOCKS_GRANTED.labels(f"kind {number}").inc()
metrics.DATABASE_UNAVAILABLE.inc()
show()
print("---")
os.posix_fallocate = reserved
for number in range(3000):
    metrics.LOCKS_GRANTED.labels(f"kind {number}").inc()
show()
"""


def test_a_fork_counts_in_its_own_file_and_the_sum_is_right(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _COUNTS],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path.cwd()),
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        },
    )
    first, *lines = done.stdout.splitlines()
    named = {int(file.stem.partition("_")[2]) for file in tmp_path.glob("counter_*.db")}
    assert named == set(map(int, first.split()))
    # This size is reserved before the first count; more only if the counts need it.
    assert {file.stat().st_size for file in tmp_path.glob("*.db")} == {_FIRST}
    assert "staging_database_unavailable_total 8.0" in lines


def test_counts_that_find_no_space_are_shown_once_there_is_some(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FINDS_NO_SPACE],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path.cwd()),
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        },
    )
    full, free, grown, again = (part.splitlines() for part in done.stdout.split("---\n"))
    # No write to a hole: that kills the process when the disk is really full.
    assert "0 blocks" in full
    assert not any(line.startswith("staging_") for line in full)
    assert "staging_database_unavailable_total 3.0" in free
    assert "staging_lock_renewals_late_total 1.0" in free
    assert grown.count("staging_database_unavailable_total 4.0") == 1
    # Existing counters continue; of new ones the file has as many as fit.
    shown = [line for line in grown if line.startswith("staging_locks_granted_total{")]
    assert 100 < len(shown) < 3000
    assert len([line for line in again if line.startswith("staging_locks_granted_total{")]) == 3000
    assert f"{tmp_path}/counter_" in done.stderr
    # Three kinds of files at first, and one of them again.
    assert done.stderr.count("lacks metrics of this process: No space left on device") == 3 + 1


@pytest.fixture
def counts(tmp_path: Path) -> Iterator[_ReservedFile]:
    made = _ReservedFile(str(tmp_path / "counter_1.db"))
    yield made
    made.close()


def descriptors_of(name: str) -> int:
    """Return the number of this process's descriptors of a file."""
    mine = Path("/proc/self/fd")
    return [str(each.resolve()) for each in mine.iterdir()].count(name)


@pytest.mark.parametrize(("more", "size"), [(0, _FIRST), (1, _FIRST * 2)])
def test_a_file_is_doubled_by_the_first_count_that_has_no_room(
    counts: _ReservedFile, more: int, size: int
) -> None:
    # The head of the file, and the longest overhead of an entry with such a key.
    key = "k" * (_FIRST - 8 - 28 + more)
    assert counts.read_value(key) == (0.0, 0.0)
    counts.write_value(key, 3.0, 7.0)
    assert Path(counts._name).stat().st_size == size
    counts.write_value("another", 4.0, 8.0)
    assert Path(counts._name).stat().st_size == _FIRST * 2
    assert [counts.read_value(each) for each in (key, "another")] == [(3.0, 7.0), (4.0, 8.0)]


def test_a_closed_file_has_no_descriptor_and_what_was_never_opened_can_be_closed(
    counts: _ReservedFile,
) -> None:
    counts.close()
    assert not Path(counts._name).exists()
    counts.write_value("one", 1.0, 2.0)
    assert descriptors_of(counts._name) > 0
    counts.close()
    assert descriptors_of(counts._name) == 0


@pytest.mark.parametrize(
    ("number", "is_counted"),
    [(errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EOPNOTSUPP, True), (errno.EINVAL, True)],
)
def test_a_file_system_that_cannot_reserve_has_counts_and_one_without_space_has_none(
    counts: _ReservedFile, monkeypatch: pytest.MonkeyPatch, number: int, *, is_counted: bool
) -> None:
    def refused(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("staging_api.metrics.os.posix_fallocate", refused)
    counts.write_value("one", 1.0, 2.0)
    assert counts.read_value("one") == ((1.0, 2.0) if is_counted else (0.0, 0.0))
