"""Silent sources: they block no request that has ended or lost its lock."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import select, states, temporary_files
from tests.service import STAGINGS, Answer, Pod, Service, service
from tests.source import ArchiveSource


@pytest.fixture
def rows(own_url: str) -> Iterator[Database]:
    """Yield access to the tables."""
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


@pytest.fixture
def patient(own_url: str, source: ArchiveSource, tmp_path: Path) -> Iterator[Service]:
    """Yield a service that waits up to an hour for the next byte of a source."""
    with service(tmp_path, own_url, f"{source.url}/", sources_read_seconds="3600") as found:
        yield found


@contextmanager
def silent(pod: Pod, source: ArchiveSource, url: str) -> Iterator["Future[Answer]"]:
    """Yield a running request whose source sent a part, and then fell silent."""
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pod.client.stage, url, "full_payload")
        held.wait_until_reached()
        yield asked
        assert asked.done()
        assert not held.released.is_set()


def test_cancelled_while_the_source_is_silent_the_request_ends(
    patient: Service, source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    pod, other = patient.api(2)
    with silent(pod, source, url) as asked:
        ((staging_id,),) = select(rows, "SELECT id FROM stagings WHERE archive_url = :u", u=url)
        assert other.client.delete(f"{STAGINGS}/{staging_id}").status == 202
        assert asked.result().problem == (409, "cancelled")
    assert other.client.get(f"{STAGINGS}/{staging_id}").json["state"] == "cancelled"
    assert temporary_files(patient.store) == []


def test_a_lock_that_is_lost_while_the_source_is_silent_ends_the_request(
    patient: Service, source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    pod, other = patient.api(2)
    with silent(pod, source, url) as asked:
        ((lock_id,),) = select(rows, "SELECT lock_id FROM lock_scopes WHERE scope = :u", u=url)
        broken = other.client.delete(f"/api/v1.0/locks/{lock_id}", {"reason": "test"})
        assert broken.status == 200
        assert asked.result().problem == (409, "lock_lost")
    assert states(rows, url)["full_payload"] != "staged"


def test_a_process_that_ends_does_not_wait_for_a_silent_source(
    patient: Service, source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    (pod,) = patient.api()
    with silent(pod, source, url) as asked:
        pod.process.terminate()
        assert asked.result().problem == (503, "shutting_down")
        assert pod.process.wait(60) == 0
    assert states(rows, url)["full_payload"] == "pending"
