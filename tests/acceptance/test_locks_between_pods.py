"""A lock shared by two gunicorn servers: refused, granted in order, and freed after a death."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import grants, select
from tests.service import LEASE_SECONDS, Answer, Pod, Service, eventually
from tests.source import ArchiveSource


def wait_for_waiters(rows: Database, url: str, count: int) -> None:
    """Wait until `count` waiters are in the queue of an archive."""
    query = "SELECT count(*) FROM lock_waiters WHERE scope = :u"
    eventually(lambda: select(rows, query, u=url) == [(count,)], "they do not queue")


def test_what_one_pod_holds_another_refuses_and_says_for_how_long(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pods[0].client.stage, url, "full_payload")
        held.wait_until_reached()
        refused = pods[1].client.stage(url, "stateful")
        began = time.monotonic()
        in_vain = pods[1].client.stage(url, "stateful", Prefer="wait=1")
        waited = time.monotonic() - began
        held.release()
        assert asked.result().status == 201
    ((holder,),) = select(rows, "SELECT holder FROM api_locks WHERE scope = :u", u=url)
    for answer in (refused, in_vain):
        assert answer.problem == (409, "lock_held")
        assert 1 <= int(answer.headers["Retry-After"]) <= LEASE_SECONDS
        assert answer.json["lock"]["holder"] == holder
    assert in_vain.headers["Preference-Applied"] == "wait=1"
    assert waited >= 1
    assert select(rows, "SELECT 1 FROM lock_waiters WHERE scope = :u", u=url) == []


def test_waiters_are_served_in_order_of_arrival_across_pods(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD)
    markers = [str(uuid4()) for _ in range(4)]

    def wait(number: int) -> Answer:
        return pods[number % 2].client.stage(
            url, "full_payload", "stateful", Prefer="wait=50", X_Context_Marker=markers[number]
        )

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(pods[0].client.stage, url, "full_payload")
        held.wait_until_reached()
        waiting = []
        for number in range(len(markers)):
            waiting.append(pool.submit(wait, number))
            wait_for_waiters(rows, url, number + 1)
        held.release()
        assert first.result().status == 201
        assert {answer.result().status for answer in waiting} <= {200, 201}
    order = (
        "SELECT reference_id FROM api_locks WHERE scope = :u AND kind = 'archive' ORDER BY fence"
    )
    assert [marker for (marker,) in select(rows, order, u=url)][1:] == markers


def test_the_lock_of_a_pod_that_dies_goes_to_a_waiter_of_another_pod(
    pods: list[Pod], cluster: Service, source: ArchiveSource, rows: Database
) -> None:
    (mortal,) = cluster.api()
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(mortal.client.stage, url, "full_payload")
        held.wait_until_reached()
        heir = pool.submit(pods[0].client.stage, url, "full_payload", Prefer="wait=50")
        wait_for_waiters(rows, url, 1)
        mortal.kill()
        held.release()
        assert heir.result().status == 201
    dead, alive = [outcome for *_, outcome in grants(rows, url)][:2]
    # The worker may have recorded the expiry before the next holder came.
    assert dead in {"superseded", "expired"}
    assert alive == "released"
