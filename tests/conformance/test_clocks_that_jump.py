"""Ages in the store's spool: measured by the clock that dates the files; used files are kept."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from staging_api.store.blob_store import BlobStore
from staging_api.store.opening import open_store
from tests.buckets import new_bucket, s3_server
from tests.faulty_bucket import faulty_bucket
from tests.jumped_clock import DAY_SECONDS, run_jumped
from tests.store_child import PARTS
from tests.stores import kept_aside

#: Further than any age that the store looks at, in both directions.
JUMPS = (40 * DAY_SECONDS, -40 * DAY_SECONDS)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(url: str, home: Path) -> BlobStore:
    found = open_store(url, home)
    found.check()
    return found


@pytest.fixture
def spool(url: str, home: Path, tmp_path: Path) -> Path:
    """Return the folder of the store's batches and parts."""
    return home / "spool" if not url.startswith("file:") else tmp_path / "store"


def left_behind(folder: Path, age_seconds: float) -> Path:
    """Create files left behind by a process that died this long ago."""
    folder.mkdir(parents=True)
    (folder / "0").write_bytes(b"left")
    made_old(folder, age_seconds)
    return folder


def made_old(folder: Path, age_seconds: float) -> None:
    """Backdate a folder and its files, as after a jump of the clock that dates them."""
    at = time.time() - age_seconds
    for path in (*folder.iterdir(), folder):
        os.utime(path, (at, at))


@contextmanager
def held_open(url: str, home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Yield another process that has a batch and parts of the store open."""
    command = [sys.executable, "-m", "tests.store_child", "hold", url, str(home)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        try:
            yield process
        finally:
            process.kill()


def swept_by(url: str, home: Path, jump: float) -> tuple[int, float]:
    """Sweep in a process whose clock jumped; return the number removed and its store time."""
    removed, at = run_jumped(jump, "tests.store_child", "sweep", url, str(home)).split()
    return int(removed), float(at)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_process_whose_clock_jumped_sweeps_only_old_files(
    store: BlobStore, url: str, home: Path, spool: Path, jump: float
) -> None:
    old = left_behind(spool / "tmp" / "dead" / "1", 1.5 * DAY_SECONDS)
    old_parts = left_behind(spool / "parts" / "dead", 1.5 * DAY_SECONDS)
    young = left_behind(spool / "tmp" / "dead" / "2", DAY_SECONDS / 2)
    young_parts = left_behind(spool / "parts" / "young", DAY_SECONDS / 2)
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"alive"])
        removed, at = swept_by(url, home, jump)
        batch.commit()
    assert (removed, store.has(blob.sha256)) == (2, True)
    assert abs(at - time.time()) < 600
    assert [path.exists() for path in (old, old_parts)] == [False, False]
    assert [path.exists() for path in (young, young_parts)] == [True, True]


@pytest.mark.parametrize("jump", JUMPS)
def test_quarantined_files_stay_a_month_by_the_clock_of_the_store(
    store: BlobStore, url: str, home: Path, jump: float
) -> None:
    with store.batch("worker-1") as batch:
        bad, good = batch.keep([b"bad"]), batch.keep([b"good"])
        batch.commit()
    assert store.quarantine(bad.sha256, lambda _stream: True)
    before = kept_aside(url)
    assert len(before) == 1
    swept_by(url, home, jump)
    assert kept_aside(url) == before
    assert store.has(good.sha256)


def test_quarantined_files_are_removed_after_a_month(
    store: BlobStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.batch("worker-1") as batch:
        bad = batch.keep([b"bad"])
        batch.commit()
    assert store.quarantine(bad.sha256, lambda _stream: True)
    begun, left = store.time(), []
    for days in (29, 31):
        monkeypatch.setattr(store, "time", lambda at=begun + days * DAY_SECONDS: at)
        store.sweep(DAY_SECONDS)
        left.append(len(kept_aside(url)))
    assert left == [1, 0]


def test_what_a_process_is_at_work_on_stays_however_old_it_looks(
    store: BlobStore, url: str, home: Path, spool: Path
) -> None:
    with held_open(url, home) as holder:
        (batch,) = (spool / "tmp" / "holder").iterdir()
        working = [batch, spool / "parts" / PARTS]
        for folder in working:
            made_old(folder, 3 * DAY_SECONDS)
        dead = left_behind(spool / "tmp" / "dead" / "1", 3 * DAY_SECONDS)
        assert store.sweep(DAY_SECONDS).removed == 1
        assert [path.exists() for path in (*working, dead)] == [True, True, False]
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert store.sweep(DAY_SECONDS).removed == 2
    assert [path.exists() for path in working] == [False, False]


def test_a_folder_that_is_removed_while_it_is_made_is_made_again(
    store: BlobStore, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = Path.mkdir, list[Path]()

    def swept_at_once(path: Path, *given: object, **options: bool) -> None:
        make(path, *given, **options)  # type: ignore[arg-type]
        if path.parent.name == "worker-1" and not made:
            path.rmdir()
            made.append(path)

    monkeypatch.setattr(Path, "mkdir", swept_at_once)
    with store.batch("worker-1") as batch:
        blob = batch.keep([b"kept"])
        batch.commit()
    assert made
    assert store.has(blob.sha256)


@pytest.mark.parametrize("jump", [DAY_SECONDS, -DAY_SECONDS, 600.0, -600.0])
def test_a_bucket_gives_no_links_while_the_clocks_of_pod_and_bucket_differ(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """The validity of a link starts at the pod's current time."""
    with faulty_bucket(endpoint) as proxy:
        url = new_bucket(endpoint).replace(endpoint, proxy.endpoint)
        store, other = (open_store(url, tmp_path / name) for name in ("one", "other"))
        with store.batch("worker-1") as batch:
            blob = batch.keep([b"content"])
            batch.commit()
        assert store.link(blob.sha256, blob.size_bytes) is not None
        proxy.clock_is_ahead_seconds = jump
        assert other.link(blob.sha256, blob.size_bytes) is None
        right = time.time
        monkeypatch.setattr(time, "time", lambda: right() + jump)
        assert store.link(blob.sha256, blob.size_bytes) is None
        with store.open(blob.sha256, blob.size_bytes) as stream:
            assert stream.read() == b"content"
        monkeypatch.undo()
        assert store.link(blob.sha256, blob.size_bytes) is not None
