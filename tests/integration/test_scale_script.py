"""Script that simulates many pods: it runs, and its output has the form that the page shows."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.prove
def test_the_script_measures_compares_and_simulates(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.scale"]
    small = ["--pods", "1", "--seconds", "1", "--times", "20", "--cores", "2"]
    small += ["--statements", "1000"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("STAGING_")}
    out = subprocess.check_output(
        [*command, *small], cwd=ROOT, env={**env, "TMPDIR": str(tmp_path)}, text=True
    )
    costs = dict(re.findall(r"^\| ([a-z ,]+) \| (\d+) \|", out, re.MULTILINE))
    for name in ("lock pair", "renewal", "refusal", "poll", "look of a worker", "heartbeat"):
        assert int(costs[name]) > 0, out
    idle, asked = re.findall(r"^1 pods, (\d+) requests/s: .*ratio ([0-9.]+)", out, re.MULTILINE)
    assert idle[0] == "0"
    assert int(asked[0]) > 0
    rows = re.findall(r"^\| (10|100|1000) \| (\d+)%", out, re.MULTILINE)
    assert {count for count, _ in rows} == {"10", "100", "1000"}
    # More pods never take less.
    busy = [int(share) for count, share in rows if count == "1000"]
    assert min(busy) >= max(int(share) for count, share in rows if count == "10")
    assert len(re.findall(r"^all cores are busy at \d+ pods", out, re.MULTILINE)) == 3
    # The server's own process removes its socket's folder last, after the script has ended.
    over = time.monotonic() + 20
    while list(tmp_path.iterdir()):
        assert time.monotonic() < over, "something is left behind"
        time.sleep(0.05)
