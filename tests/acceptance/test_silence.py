"""A source that says nothing holds nobody up who does not want its bytes any more."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import select, states, temporary_files
from tests.service import STAGINGS, Answer, Pod, Service
from tests.source import ArchiveSource


@contextmanager
def silent(pod: Pod, source: ArchiveSource, url: str) -> Iterator["Future[Answer]"]:
    """A request whose source has sent a part and sends no more, for longer than any test takes."""
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pod.client.stage, url, "full_payload")
        held.wait_until_reached()
        yield asked
        asked.result()
        assert not held.released.is_set()
    # Neither the end of a time-out nor a second attempt brought the answer.
    assert source.read_of(url)[FULL_PAYLOAD] == 1


def test_cancelled_while_the_source_is_silent_the_request_ends(
    pods: list[Pod], cluster: Service, source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    with silent(pods[0], source, url) as asked:
        ((staging_id,),) = select(rows, "SELECT id FROM stagings WHERE archive_url = :u", u=url)
        assert pods[1].client.delete(f"{STAGINGS}/{staging_id}").status == 202
        assert asked.result().problem == (409, "cancelled")
    assert pods[1].client.get(f"{STAGINGS}/{staging_id}").json["state"] == "cancelled"
    assert temporary_files(cluster.store) == []


def test_a_lock_that_is_lost_while_the_source_is_silent_ends_the_request(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    with silent(pods[0], source, url) as asked:
        ((lock_id,),) = select(rows, "SELECT lock_id FROM lock_scopes WHERE scope = :u", u=url)
        broken = pods[1].client.delete(f"/api/v1.0/locks/{lock_id}", {"reason": "test"})
        assert broken.status == 200
        assert asked.result().problem == (409, "lock_lost")
    assert states(rows, url)["full_payload"] != "staged"
