"""Each process counts in a file of its own, a fork as well."""

import os
import subprocess
import sys
from pathlib import Path

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
    # So much is taken before the first count, and more only for more counts than it has room for.
    assert {file.stat().st_size for file in tmp_path.glob("*.db")} == {64 << 10}
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
    # Nothing was written to a hole: that ends a process where the disk is really full.
    assert "0 blocks" in full
    assert not any(line.startswith("staging_") for line in full)
    assert "staging_database_unavailable_total 3.0" in free
    assert "staging_lock_renewals_late_total 1.0" in free
    assert grown.count("staging_database_unavailable_total 4.0") == 1
    # What had its place goes on, and of what is new the file has as much as it has space for.
    shown = [line for line in grown if line.startswith("staging_locks_granted_total{")]
    assert 100 < len(shown) < 3000
    assert len([line for line in again if line.startswith("staging_locks_granted_total{")]) == 3000
    assert f"{tmp_path}/counter_" in done.stderr
    # Of three kinds of files at first, and of one once more.
    assert done.stderr.count("lacks metrics of this process: No space left on device") == 3 + 1
