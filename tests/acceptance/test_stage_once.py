"""Many clients, many pods: one staging does the work, and every response is true."""

import hashlib
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import check_store, grants, select, states
from tests.service import Answer, Pod, Service
from tests.source import ArchiveSource

CLIENTS = 50


def ask_at_once(pods: list[Pod], archive_url: str) -> list["Future[Answer]"]:
    """Start many clients at the same moment, all requesting one archive from all pods."""
    together = threading.Barrier(CLIENTS)
    pool = ThreadPoolExecutor(CLIENTS)

    def ask(number: int) -> Answer:
        together.wait()
        return pods[number % len(pods)].client.stage(archive_url)

    asked = [pool.submit(ask, number) for number in range(CLIENTS)]
    pool.shutdown(wait=False)
    return asked


def test_of_fifty_clients_one_stages_and_the_others_see_the_holder(
    pods: list[Pod], cluster: Service, source: ArchiveSource, rows: Database
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    refused: list[Answer] = []
    all_refused = threading.Event()

    def count(done: "Future[Answer]") -> None:
        refused.append(done.result())
        if len(refused) == CLIENTS - 1:
            all_refused.set()

    asked = ask_at_once(pods, url)
    for one in asked:
        one.add_done_callback(count)
    assert all_refused.wait(60), f"only {len(refused)} clients were answered"
    assert {answer.problem for answer in refused} == {(409, "lock_held")}
    (lock_id,) = {answer.json["lock"]["id"] for answer in refused}
    for answer in refused:
        assert 1 <= int(answer.headers["Retry-After"]) <= 300
        assert answer.json["retryable"] is True
        assert (answer.json["lock"]["kind"], answer.json["lock"]["scope"]) == ("archive", url)
    held.release()

    (made,) = [one.result().json for one in asked if one.result().status == 201]
    assert made["lock_id"] == lock_id
    settled = pods[1].client.wait(f"/api/v1.0/stagings/{made['id']}", "staged")
    assert settled["artifacts"][0]["sha256"] == hashlib.sha256(objects[FULL_PAYLOAD]).hexdigest()
    assert pods[1].client.get(f"/static/{path}/update.gz").body == objects[FULL_PAYLOAD]
    # The manifest is read once, too: the worker takes the request's result from its row.
    assert set(source.read_of(url).values()) == {1}
    by_clients = [grant for grant in grants(rows, url) if grant[1] == "anonymous"]
    assert by_clients == [("archive", "anonymous", "released")]
    assert select(rows, "SELECT count(*) FROM stagings WHERE archive_url = :u", u=url) == [(1,)]
    check_store(rows, cluster.store)


def test_without_any_pause_the_answers_are_staged_held_or_nothing_left(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build("race"))
    answers = Counter(one.result().status for one in ask_at_once(pods, url))
    assert answers[201] == 1
    assert answers[201] + answers[409] + answers[200] == CLIENTS
    pods[0].client.wait(pods[0].client.stage(url).headers["Location"], "staged")
    assert set(source.read_of(url).values()) == {1}


def test_a_second_request_downloads_nothing(pods: list[Pod], source: ArchiveSource) -> None:
    url = source.add(build_path(), build())
    first = pods[0].client.stage(url)
    pods[0].client.wait(first.headers["Location"], "staged")
    read = source.read_of(url)
    again = [pod.client.stage(url) for pod in pods for _ in range(5)]
    assert {answer.status for answer in again} == {200}
    assert {answer.json["id"] for answer in again} == {first.json["id"]}
    assert source.read_of(url) == read


def test_a_kind_of_artifact_is_staged_beside_another_that_is_under_way(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    held = source.hold(url, FULL_PAYLOAD)
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(pods[0].client.stage, url)
        held.wait_until_reached()
        assert pods[1].client.stage(url, "symbols").status == 201
        assert pods[1].client.stage(url, "images").status == 201
        held.release()
        assert building.result().status == 201
    assert states(rows, url)["symbols"] == "staged"
    image = pods[1].client.get(f"/static/images/{path}/chromiumos_test_image.bin")
    assert (image.status, len(image.body)) == (200, 40_000)
    symbols = pods[0].client.get(f"/static/{path}/debug/breakpad/lib.so.sym")
    assert (symbols.status, len(symbols.body)) == (200, 900)


def test_two_sources_with_the_same_path_do_not_collide(
    pods: list[Pod], source: ArchiveSource, second_source: ArchiveSource
) -> None:
    client, path = pods[0].client, build_path()
    for each, seed in ((source, "one"), (second_source, "other")):
        objects = build(seed)
        staged = client.stage(each.add(path, objects))
        assert staged.status == 201
        payload = next(a for a in staged.json["artifacts"] if a["name"] == "full_payload")
        assert client.get(payload["url"]).body == objects[FULL_PAYLOAD]
    assert client.get(f"/static/{path}/update.gz").body == build("one")[FULL_PAYLOAD]
