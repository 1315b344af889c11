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
    assert "staging_database_unavailable_total 8.0" in lines
