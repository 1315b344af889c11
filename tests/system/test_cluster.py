"""A cluster in the shape of production on this machine: clean start and end, and faults between."""

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.proof import prove
from tests.service import eventually

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def test_a_minute_of_trouble_shows_nothing_false_and_loses_nothing():
    # Each trouble once, which takes longer.
    proof = prove(seconds=0, every_seconds=3, kill_seconds=9)
    assert proof.findings.wrong == []
    assert {trouble.what for trouble in proof.troubles} >= {
        "an API pod killed",
        "a worker killed",
        "the pooler restarted",
        "the primary killed, the standby promoted",
        "all pods rolled",
    }
    counts = proof.findings.counts
    assert min(counts["artifacts staged"], counts["packages uploaded"]) > 20, "or what was tested?"


def test_make_cluster_says_where_everything_is_and_leaves_nothing_behind():
    with start() as cluster:
        assert cluster.stdout is not None
        retried = "".join(iter(cluster.stdout.readline, "Ctrl-C ends everything.\n"))
        (url,) = re.findall(r"haproxy  +(http\S+)", retried)
        (folder,) = re.findall(r"(/tmp/staging-cluster-\w+)/primary", retried)
        assert urllib.request.urlopen(f"{url}/readyz", timeout=10).status == 200
        assert len(processes_of(folder)) > 8
        cluster.send_signal(signal.SIGINT)
        assert cluster.wait(60) == 0
    assert processes_of(folder) == []
    assert not Path(folder).exists()


@pytest.mark.prove  # starts a second cluster for the sake of developers only
def test_processes_of_make_cluster_end_when_it_is_killed():
    with start() as cluster:
        assert cluster.stdout is not None
        retried = "".join(iter(cluster.stdout.readline, "Ctrl-C ends everything.\n"))
        (folder,) = re.findall(r"(/tmp/staging-cluster-\w+)/primary", retried)
        cluster.kill()
        cluster.wait()
    try:
        eventually(lambda: not processes_of(folder), "some processes go on")
    finally:
        subprocess.run(["umount", "--lazy", f"{folder}/store"], check=False)
        subprocess.run(["rm", "-r", folder], check=True)


def start() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.cluster"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def processes_of(folder: str) -> list[str]:
    """Return the processes whose command line or environment names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            retried = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if folder.encode() in retried:
            found.append(retried.replace(b"\0", b" ").decode()[:200])
    return found
