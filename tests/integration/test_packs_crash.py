"""kill -9 at every step of a pack: its bytes, its rename, its rows, and the state `staged`."""

import hashlib
import signal
import subprocess
import sys

import pytest

from staging_api.staging.repository import reading
from staging_api.store.places import read_at
from tests.stagings import bench, packed
from tests.stores import blobs_of

LARGE = b"large" * 400
MANY_STEPS = 80


def files_of(build):
    return {
        **{f"d/{number:03}": b"%s has %d" % (build.encode(), number) for number in range(12)},
        "d/large": LARGE + build.encode(),
    }


@pytest.fixture
def at(database, database_url, tmp_path):
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def child(at, database_url, tmp_path):
    command = [sys.executable, "-m", "tests.integration.pack_child", database_url, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as made:
        yield made
        made.communicate()


@pytest.mark.timeout(300)
def test_after_a_crash_at_any_step_nothing_is_served_and_the_next_attempt_is_whole(at, child):
    for step in range(1, MANY_STEPS):
        build = f"R{step}-1"
        files = files_of(build)
        url = at.build(build, suites_tgz=packed(files))
        print(build, step, file=child.stdin, flush=True)
        status = int(child.stdout.readline())
        if status == 0:
            break
        assert status == signal.SIGKILL
        every_name_means_its_bytes(at)
        # Files without a staged artifact are not served; that commit may have been the last step.
        before = served(at, build, files)
        assert before in ({}, files)
        at.tamper("UPDATE lock_scopes SET lock_id = NULL, expires_at = NULL")
        assert at.stage(url, "suites").artifacts[0].state == "staged"
        assert served(at, build, files) == files
        assert at.rows(
            "SELECT count(*) FROM staged_files WHERE starts_with(path, :below)",
            below=f"board/{build}/",
        ) == [(len(files),)]
    else:
        raise AssertionError("the process never came to its end")
    assert step > 10
    nothing_is_left_over(at)


def served(at, build, files):
    with at.database.connect() as conn:
        found = {path: reading.served_file(conn, f"board/{build}/{path}") for path in files}
    return {path: read_at(at.service.blobs, each.place) for path, each in found.items() if each}


def every_name_means_its_bytes(at):
    for blob, _ in blobs_of(at.service.blobs):
        with at.service.blobs.open(blob.sha256) as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == blob.sha256


def nothing_is_left_over(at):
    at.service.upkeep.forget_dropped()
    at.service.upkeep.collect()
    assert at.rows("SELECT count(*) FROM packs WHERE sha256 IS NULL") == [(0,)]
    unstaged = "SELECT count(*) FROM packed_files f JOIN staged_artifacts a ON a.id = f.artifact_id"
    assert at.rows(f"{unstaged} WHERE a.state <> 'staged'") == [(0,)]
    named = {sha256 for (sha256,) in at.rows("SELECT sha256 FROM artifact_blobs")}
    known = {sha256 for (sha256,) in at.rows("SELECT sha256 FROM blobs")}
    assert {blob.sha256 for blob, _ in blobs_of(at.service.blobs)} >= named == known
