"""Life of a staging as its client sees it: requested, followed, cancelled, failed, retried."""

import bz2
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, NTON_PAYLOAD, build, build_path, with_manifest
from tests.rows import check_store, execute, grants, select, states
from tests.service import STAGINGS, Client, Pod, Service
from tests.source import ArchiveSource, Stop, Trick


def test_respond_async_leaves_all_of_it_to_a_worker(
    client: Client, source: ArchiveSource, rows: Database
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    queued = client.stage(url, Prefer="respond-async")
    assert queued.status == 202
    assert queued.headers["Preference-Applied"] == "respond-async"
    assert queued.headers["Location"] == f"{STAGINGS}/{queued.json['id']}"
    staged = client.wait(queued.headers["Location"], "staged")
    assert staged["progress"]["bytes_done"] == staged["progress"]["bytes_total"]
    assert client.get(f"/static/{path}/update.gz").body == objects[FULL_PAYLOAD]
    assert {caller for _, caller, _ in grants(rows, url)} == {"anonymous", "worker"}


def test_an_optional_artifact_that_is_absent_becomes_missing_and_settled(
    client: Client, source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    client.wait(client.stage(url).headers["Location"], "staged")
    assert states(rows, url) == {
        "full_payload": "staged",
        "stateful": "staged",
        "test_suites": "staged",
        "nton_payload": "staged",
        "mton_payload": "missing",
        "autotest": "staged",
        "firmware": "missing",
    }
    assert client.stage(url).status == 200


def test_files_are_unpacked_where_their_clients_look_for_them(
    client: Client, source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    client.wait(client.stage(url).headers["Location"], "staged")
    name = path.split("/")[-1]
    same = {
        f"/static/{path}/stateful.tgz": objects["stateful.tgz"],
        f"/static/{path}/au/{name}_nton/update.gz": objects[NTON_PAYLOAD],
    }
    assert {path: client.get(path).body for path in same} == same
    for found in ("autotest/packages/client.tar.bz2", "autotest/test_suites/control.bvt"):
        assert client.get(f"/static/{path}/{found}").status == 200
    stale = client.get(f"/static/{path}/autotest/test_suites/control.stale")
    assert stale.problem == (404, "not_found")


def test_a_long_poll_returns_on_a_change_and_304_without_one(
    pods: list[Pod], source: ArchiveSource
) -> None:
    client = pods[0].client
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD)
    queued = client.stage(url, "full_payload", Prefer="respond-async").headers["Location"]
    held.wait_until_reached()
    now = client.get(queued)
    assert now.json["state"] == "running"
    known = {"If_None_Match": now.headers["ETag"]}
    assert client.get(queued, **known).status == 304
    waited = client.get(queued, Prefer="wait=1", **known)
    assert (waited.status, waited.headers["ETag"]) == (304, now.headers["ETag"])
    assert waited.headers["Preference-Applied"] == "wait=1"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pods[1].client.get, queued, Prefer="wait=50", **known)
        held.release()
        changed = waiting.result()
    assert changed.status == 200
    assert changed.headers["ETag"] != now.headers["ETag"]


def test_a_request_may_wait_its_turn_instead_of_being_refused(
    pods: list[Pod], source: ArchiveSource
) -> None:
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(pods[0].client.stage, url)
        held.wait_until_reached()
        second = pool.submit(pods[1].client.stage, url, "symbols", "full_payload", Prefer="wait=50")
        held.release()
        assert (first.result().status, second.result().status) == (201, 201)
    assert second.result().headers["Preference-Applied"] == "wait=50"
    assert source.read_of(url)[FULL_PAYLOAD] == 1


def test_lists_are_filtered_and_paged(client: Client, source: ArchiveSource) -> None:
    url, other = source.add(build_path(), build()), source.add(build_path(), build())
    marker = str(uuid4())
    ids = [client.stage(url, name).json["id"] for name in ("full_payload", "stateful", "symbols")]
    client.stage(other, "symbols", X_Context_Marker=marker)
    first = client.get(f"{STAGINGS}?archive_url={url}&limit=2").json
    assert [item["id"] for item in first["items"]] == ids[:0:-1]
    rest = client.get(f"{STAGINGS}?archive_url={url}&limit=2&after={first['next']}").json
    assert [item["id"] for item in rest["items"]] == ids[:1]
    assert rest["next"] is None
    middle = client.get(f"{STAGINGS}/{ids[1]}").json["created_at"].replace("+", "%2B")

    def ids_of(query: str) -> list[str]:
        found = client.get(f"{STAGINGS}?archive_url={url}&{query}").json["items"]
        return [item["id"] for item in found]

    assert ids_of(f"since={middle}") == ids[:0:-1]
    # Python accepts this UTC offset, PostgreSQL does not.
    assert ids_of("since=2000-01-01T00:00:00%2B20:39") == ids[::-1]
    assert ids_of(f"until={middle}") == ids[:1]
    assert ids_of("state=failed") == []
    assert ids_of("caller=anonymous&state=staged") == ids[::-1]
    assert client.get(f"{STAGINGS}?limit=0").problem == (400, "invalid_request")
    assert client.get(f"{STAGINGS}?color=red").problem == (400, "invalid_request")


def test_a_marker_of_the_caller_follows_its_request_through_the_tables(
    client: Client, source: ArchiveSource, rows: Database
) -> None:
    url, marker = source.add(build_path(), build()), str(uuid4())
    staged = client.stage(url, "full_payload", X_Context_Marker=marker)
    assert staged.json["reference_id"] == marker
    shown = select(
        rows,
        "SELECT 'staging', id FROM stagings WHERE reference_id = :m"
        " UNION SELECT kind, id FROM api_locks WHERE reference_id = :m",
        m=marker,
    )
    assert set(shown) == {("staging", staged.json["id"]), ("archive", staged.json["lock_id"])}
    assert client.stage(url, X_Context_Marker="not a uuid").problem == (400, "invalid_request")


def test_cancelled_in_the_middle_nothing_is_served_and_it_can_be_staged_later(
    pods: list[Pod], cluster: Service, source: ArchiveSource, rows: Database
) -> None:
    client, path, objects = pods[0].client, build_path(), build()
    url = source.add(path, objects)
    begun = Stop(after_bytes=16 << 10)
    source.play(url, FULL_PAYLOAD, Trick(stop=begun, bytes_per_second=100_000))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.stage, url)
        begun.wait_until_reached()
        (staging,) = client.get(f"{STAGINGS}?archive_url={url}").json["items"]
        location = f"{STAGINGS}/{staging['id']}"
        assert pods[1].client.delete(location).status == 202
        begun.release()
        assert asked.result().problem == (409, "cancelled")
    assert client.get(location).json["state"] == "cancelled"
    # The smaller objects beside it may have been staged by then.
    beside = {"stateful", "test_suites"}
    assert {state for name, state in states(rows, url).items() if name not in beside} == {"failed"}
    assert client.get(f"/static/{path}/update.gz").status == 404
    assert client.delete(location).json["state"] == "cancelled"
    check_store(rows, cluster.store)
    assert client.stage(url).status == 201
    assert client.get(f"/static/{path}/update.gz").body == objects[FULL_PAYLOAD]
    assert client.get(location).json["state"] == "cancelled"


def test_an_idempotency_key_gets_the_same_answer_again(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url, key = source.add(build_path(), build()), str(uuid4())
    held = source.hold(url, FULL_PAYLOAD)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pods[0].client.stage, url, Idempotency_Key=key)
        held.wait_until_reached()
        busy = pods[1].client.stage(url, Idempotency_Key=key)
        assert busy.problem == (409, "idempotency_key_busy")
        assert int(busy.headers["Retry-After"]) >= 1
        held.release()
        first = asked.result()
    assert first.status == 201
    again = pods[1].client.stage(url, Idempotency_Key=key)
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Location"] == first.headers["Location"]
    for prefer in ("wait=5", "respond-async", "wait=7, respond-async"):
        assert pods[0].client.stage(url, Idempotency_Key=key, Prefer=prefer).body == first.body
    other = pods[1].client.stage(url, "symbols", Idempotency_Key=key)
    assert other.problem == (422, "idempotency_key_reused")
    assert select(rows, "SELECT count(*) FROM stagings WHERE archive_url = :u", u=url) == [(1,)]


def test_a_background_failure_has_a_reason_and_is_staged_by_the_next_request(
    client: Client, source: ArchiveSource, rows: Database
) -> None:
    path = build_path()
    url = source.add(path, with_manifest({**build(), "autotest.tar": b"not a tar" * 1000}))
    asked = client.stage(url)
    assert asked.status == 201
    failed = client.wait(asked.headers["Location"], "failed")
    assert failed["error"]["code"] == "archive_corrupt"
    assert states(rows, url)["autotest"] == "failed"
    assert client.get(f"/static/{path}/update.gz").status == 200
    assert client.get(f"/static/{path}/autotest/server/control").status == 404
    source.add(path, build())
    again = client.stage_in_the_end(url)
    assert again.status == 201
    assert client.wait(again.headers["Location"], "staged")["id"] != failed["id"]
    assert client.get(f"/static/{path}/autotest/server/control").status == 200
    assert source.read_of(url)[FULL_PAYLOAD] == 1


def test_what_fails_in_the_background_and_could_pass_is_tried_again_by_itself(
    client: Client, source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    source.play(url, "autotest.tar", Trick(etag='"another version"'))
    # Read at once then, by one answer; which is cut, and belongs to neither version.
    source.play(url, "autotest.tar", Trick(etag='"a third version"', cut_after_bytes=100))
    asked = client.stage(url).headers["Location"]

    def autotest(staging: object) -> dict[str, object]:
        return next(a for a in staging["artifacts"] if a["name"] == "autotest")  # type: ignore[index]

    staging = client.get(asked)
    while autotest(staging.json)["error"] is None:
        news = client.get(asked, Prefer="wait=5", If_None_Match=staging.headers["ETag"])
        staging = staging if news.status == 304 else news
    assert autotest(staging.json)["error"] == {
        "code": "source_changed",
        "retryable": True,
        "message": "autotest.tar changed since it was found",
    }
    # The back-off before the next attempt has passed.
    execute(
        rows, "UPDATE staged_artifacts SET next_attempt_at = NULL WHERE archive_url = :u", u=url
    )
    assert autotest(client.wait(asked, "staged"))["error"] is None


def test_a_cut_download_goes_on_where_it_was_cut(client: Client, source: ArchiveSource) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    source.play(url, FULL_PAYLOAD, Trick(cut_after_bytes=100_000))
    assert client.stage(url).status == 201
    assert client.get(f"/static/{path}/update.gz").body == objects[FULL_PAYLOAD]
    parts = [r for r in source.reads if r.path == f"/{path}/{FULL_PAYLOAD}"]
    assert [(part.start, part.sent_bytes) for part in parts] == [(0, 100_000), (100_000, 200_000)]


def test_foreground_that_fails_is_the_answer_and_leaves_nothing_of_it(
    client: Client, cluster: Service, source: ArchiveSource, rows: Database
) -> None:
    path = build_path()
    broken = with_manifest({**build(), "test_suites.tar.bz2": bz2.compress(b"not a tar" * 1000)})
    url = source.add(path, broken)
    assert client.stage(url).problem == (502, "archive_corrupt")
    (staging,) = client.get(f"{STAGINGS}?archive_url={url}").json["items"]
    assert (staging["state"], staging["error"]["code"]) == ("failed", "archive_corrupt")
    found = states(rows, url)
    assert (found["full_payload"], found["test_suites"]) == ("staged", "failed")
    assert client.get(f"/static/{path}/autotest/test_suites/control.bvt").status == 404
    check_store(rows, cluster.store)
