"""Operations of operators: list staged artifacts and held locks, evict, pin, break a lock."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import check_store, grants, select, states
from tests.service import API, Client, Pod, Service
from tests.source import ArchiveSource

ARTIFACTS, LOCKS = f"{API}/artifacts", f"{API}/locks"
NOWHERE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def staged_payload(client: Client, url: str) -> str:
    """Stage the payload of an archive; return the id of its artifact."""
    assert client.stage(url, "full_payload").status == 201
    (found,) = client.get(f"{ARTIFACTS}?archive_url={url}&state=staged").json["items"]
    return str(found["id"])


def test_an_artifact_shows_its_source_and_digest(client: Client, source: ArchiveSource) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    found = client.get(f"{ARTIFACTS}/{staged_payload(client, url)}").json
    content = objects[FULL_PAYLOAD]
    shown = {key: found[key] for key in ("name", "state", "phase", "path", "url", "attempt")}
    assert shown == {
        "name": "full_payload",
        "state": "staged",
        "phase": "foreground",
        "path": f"{path}/update.gz",
        "url": f"/static/{path}/update.gz",
        "attempt": 1,
    }
    assert found["source_url"] == f"{url}/{FULL_PAYLOAD}"
    assert found["source_version"] == f'"{hashlib.md5(content).hexdigest()}"'
    proof = (found["sha256"], found["size_bytes"])
    assert proof == (hashlib.sha256(content).hexdigest(), len(content))


def test_artifacts_are_listed_in_pages(client: Client, source: ArchiveSource) -> None:
    url = source.add(build_path(), build())
    client.wait(client.stage(url).headers["Location"], "staged")
    seen: list[str] = []
    after = ""
    while True:
        page = client.get(f"{ARTIFACTS}?archive_url={url}&limit=3{after}").json
        seen += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert len(seen) == len(set(seen)) == 7
    missing = client.get(f"{ARTIFACTS}?archive_url={url}&state=missing").json["items"]
    assert {item["name"] for item in missing} == {"firmware", "mton_payload"}


def test_another_spelling_of_an_archive_finds_the_same(
    client: Client, source: ArchiveSource
) -> None:
    url = source.add(build_path(), build())
    staged_payload(client, url)
    for spelling in (f"{url}/", url.replace("http://", "HTTP://"), url.replace("-", "%2D")):
        named = quote(spelling, "")
        for path in (
            f"{API}/stagings?archive_url={named}",
            f"{ARTIFACTS}?archive_url={named}",
            f"{LOCKS}?state=all&scope={named}",
        ):
            assert client.get(path).json["items"], path
    assert client.get(f"{API}/stagings?archive_url=nonsense").json["items"] == []


def test_an_evicted_artifact_is_not_served_and_can_be_staged_again(
    client: Client, source: ArchiveSource, rows: Database
) -> None:
    path = build_path()
    url = source.add(path, build())
    artifact = staged_payload(client, url)
    evicted = client.delete(f"{ARTIFACTS}/{artifact}")
    assert (evicted.status, evicted.json["state"]) == (200, "evicted")
    assert client.get(f"/static/{path}/update.gz").problem == (404, "not_found")
    assert client.delete(f"{ARTIFACTS}/{artifact}").problem == (404, "not_found")
    assert staged_payload(client, url) != artifact
    assert client.get(f"/static/{path}/update.gz").status == 200
    history = select(
        rows,
        "SELECT state FROM staged_artifacts WHERE archive_url = :u ORDER BY created_at, id",
        u=url,
    )
    assert history == [("evicted",), ("staged",)]


def test_a_pinned_artifact_is_not_evicted(client: Client, source: ArchiveSource) -> None:
    url = source.add(build_path(), build())
    artifact = staged_payload(client, url)
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert client.post(f"{ARTIFACTS}/{artifact}/pin", {"until": until}).status == 200
    assert client.delete(f"{ARTIFACTS}/{artifact}").problem == (409, "conflict")
    assert client.post(f"{ARTIFACTS}/{artifact}/pin", {"until": None}).status == 200
    assert client.delete(f"{ARTIFACTS}/{artifact}").status == 200
    assert client.post(f"{ARTIFACTS}/{artifact}/pin", {"until": until}).status == 404


def test_unknown_artifacts_and_locks_are_404(client: Client) -> None:
    for method, path in (
        ("GET", f"{ARTIFACTS}/{NOWHERE}"),
        ("DELETE", f"{ARTIFACTS}/{NOWHERE}"),
        ("GET", f"{LOCKS}/{NOWHERE}"),
        ("GET", f"{API}/stagings/{NOWHERE}"),
        ("DELETE", f"{API}/stagings/{NOWHERE}"),
        ("GET", f"{API}/stagings/no-ulid"),
    ):
        assert client.send(method, path).problem == (404, "not_found")
    broken = client.delete(f"{LOCKS}/{NOWHERE}", {"reason": "it is not there"})
    assert broken.problem == (404, "not_found")


def test_a_held_lock_is_listed_and_its_history_stays(client: Client, source: ArchiveSource) -> None:
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.stage, url, "full_payload")
        held.wait_until_reached()
        (lock,) = [item for item in client.get(LOCKS).json["items"] if item["scope"] == url]
        assert (lock["kind"], lock["outcome"], lock["caller"]) == ("archive", None, "anonymous")
        assert client.get(f"{LOCKS}/{lock['id']}").json["id"] == lock["id"]
        held.release()
        assert asked.result().status == 201
    assert url not in {item["scope"] for item in client.get(LOCKS).json["items"]}
    (ended,) = client.get(f"{LOCKS}?state=all&scope={url}").json["items"]
    assert (ended["id"], ended["outcome"]) == (lock["id"], "released")
    first = client.get(f"{LOCKS}?state=all&limit=1").json
    second = client.get(f"{LOCKS}?state=all&limit=1&after={first['next']}").json
    assert first["items"][0]["id"] < second["items"][0]["id"]


def test_the_holder_of_a_broken_lock_stages_nothing_under_it(
    pods: list[Pod], cluster: Service, source: ArchiveSource, rows: Database
) -> None:
    client, path, objects = pods[0].client, build_path(), build()
    url = source.add(path, objects)
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.stage, url, "full_payload")
        held.wait_until_reached()
        (lock,) = client.get(f"{LOCKS}?state=all&scope={url}").json["items"]
        broken = pods[1].client.delete(f"{LOCKS}/{lock['id']}", {"reason": "its source hangs"})
        assert (broken.status, broken.json["outcome"]) == (200, "broken")
        assert broken.json["reason"] == "its source hangs"
        again = pods[1].client.delete(f"{LOCKS}/{lock['id']}", {"reason": "once more"})
        assert (again.status, again.json) == (200, broken.json)
        held.release()
        assert asked.result().problem == (409, "lock_lost")
    proofs = select(
        rows,
        "SELECT lock_id FROM staged_artifacts WHERE archive_url = :u AND state = 'staged'",
        u=url,
    )
    assert (lock["id"],) not in proofs
    # A worker resumes the interrupted work, unless the client retries first.
    assert client.stage_in_the_end(url, "full_payload").status in {200, 201}
    assert states(rows, url) == {"full_payload": "staged"}
    assert grants(rows, url)[0] == ("archive", "anonymous", "broken")
    assert client.get(f"/static/{path}/update.gz").body == objects[FULL_PAYLOAD]
    check_store(rows, cluster.store)


def test_every_process_of_the_service_is_seen(client: Client) -> None:
    seen: set[str] = set()
    while seen != {"api", "worker"}:  # each writes its first heartbeat at its start
        found = client.get(f"{API}/processes").json["items"]
        seen = {each["kind"] for each in found if each["alive"]}
    assert {each["build"] for each in found} == {client.get("/").json["build"]}
    assert all(each["places"] > 0 and each["threads"] > 0 for each in found)
