"""Cache hits: stored bytes are not fetched again, and the rows have the reason."""

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import select
from tests.service import Pod
from tests.source import ArchiveSource

STAGED = "FROM staged_artifacts WHERE archive_url = :u AND state = 'staged'"


def why(rows: Database, url: str) -> dict[str, tuple[str | None, int]]:
    """Return, by staged artifact, the reason of a cache hit and the number of fetched bytes."""
    query = f"SELECT name, held_by, bytes_done {STAGED}"
    return {name: (held_by, done) for name, held_by, done in select(rows, query, u=url)}


def evict(pod: Pod, rows: Database, url: str, name: str) -> None:
    found = (
        "SELECT id FROM staged_artifacts WHERE archive_url = :u AND name = :n AND state = 'staged'"
    )
    ((artifact_id,),) = select(rows, found, u=url, n=name)
    assert pod.client.delete(f"/api/v1.0/artifacts/{artifact_id}").status == 200


def test_evicted_and_wanted_again_it_is_not_fetched_as_long_as_the_store_has_it(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    objects = build()
    url = source.add(build_path(), objects)
    assert pods[0].client.stage(url, "full_payload").status == 201
    assert why(rows, url) == {"full_payload": (None, len(objects[FULL_PAYLOAD]))}
    evict(pods[0], rows, url, "full_payload")
    again = pods[1].client.stage(url, "full_payload")
    assert again.status == 201
    assert why(rows, url) == {"full_payload": ("version", 0)}
    assert source.begun(url)[FULL_PAYLOAD] == 1
    payload = pods[0].client.get(again.json["artifacts"][0]["url"])
    assert payload.body == objects[FULL_PAYLOAD]
    shown = "SELECT detail ->> 'held_by' FROM staging_events WHERE staging_id = :i"
    assert ("version",) in select(rows, shown, i=again.json["id"])


def test_one_object_that_two_artifacts_are_made_of_is_fetched_once(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    assert pods[0].client.stage(url, "file:debug.tgz").status == 201
    assert pods[1].client.stage(url, "symbols").status == 201
    assert source.begun(url)["debug.tgz"] == 1
    assert why(rows, url)["symbols"] == ("version", 0)


def test_an_object_that_changed_is_fetched_again(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    path = build_path()
    url = source.add(path, build("first"))
    assert pods[0].client.stage(url, "full_payload").status == 201
    evict(pods[0], rows, url, "full_payload")
    newer = build("second")
    source.add(path, newer)
    again = pods[0].client.stage(url, "full_payload")
    assert pods[0].client.get(again.json["artifacts"][0]["url"]).body == newer[FULL_PAYLOAD]
    assert why(rows, url)["full_payload"] == (None, len(newer[FULL_PAYLOAD]))


def test_the_same_etag_of_another_host_proves_nothing(
    pods: list[Pod], source: ArchiveSource, second_source: ArchiveSource, rows: Database
) -> None:
    objects, path = build(), build_path()
    assert pods[0].client.stage(source.add(path, objects), "full_payload").status == 201
    other = second_source.add(path, objects)
    assert pods[0].client.stage(other, "full_payload").status == 201
    assert second_source.begun(other)[FULL_PAYLOAD] == 1
    assert why(rows, other)["full_payload"][0] is None
