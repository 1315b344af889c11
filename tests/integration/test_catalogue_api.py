"""``/catalogue``: possible artifacts, trial of a catalogue, and requests that match no artifact."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from falcon import testing

from staging_api.db.engine import Database
from staging_api.errors import ArtifactNotFound
from staging_api.http.app import create_app
from staging_api.shutdown import Shutdown
from staging_api.staging.watch import Watch
from tests.parts import parts_of
from tests.stagings import Bench, bench, packed

TRIED = """
default: [release]
artifacts:
  - {name: payload, group: release, phase: foreground, pattern: "pay*.bin", lands: payload.bin}
  - {name: same, group: release, phase: foreground, pattern: "*.bin", lands: payload.bin}
  - {name: suites, group: release, phase: foreground, pattern: suites.tgz, extract: tar}
  - {name: docs, group: release, phase: foreground, pattern: "doc*.zip", optional: true}
"""


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def client(at: Bench) -> Iterator[testing.TestClient]:
    watch = Watch(at.database, threading.Semaphore(1), Shutdown())
    yield testing.TestClient(create_app(parts_of(at.service, watch)))
    watch.close()


def checked(client: testing.TestClient, **body: object) -> testing.Result:
    return client.simulate_post("/api/v1.0/catalogue/check", json=body)


def test_a_request_that_names_nothing_gets_the_default_of_its_catalogue(
    at: Bench, client: testing.TestClient
) -> None:
    body = {"archive_url": at.build()}
    answer = client.simulate_post("/api/v1.0/stagings", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json["requested"] == ["payload", "suites", "notes"]
    again = client.simulate_post("/api/v1.0/stagings", json={**body, "artifacts": None})
    assert (again.status_code, again.json["id"]) == (200, answer.json["id"])


def test_catalogues_are_listed_and_the_one_of_an_archive(
    at: Bench, client: testing.TestClient
) -> None:
    listed = client.simulate_get("/api/v1.0/catalogue").json
    assert listed["next"] is None
    (item,) = listed["items"]
    assert (item["default"], item["prefix"]) == (["build"], None)
    assert [entry["name"] for entry in item["artifacts"]] == [
        *("payload", "suites", "notes", "symbols")
    ]
    assert item["artifacts"][1]["choices"][0] == {
        "pattern": "suites.tgz",
        "excluding": None,
        "extract": "tar",
        "only": [],
        "without": [],
        "several": "refuse",
    }
    one = client.simulate_get("/api/v1.0/catalogue", params={"archive_url": at.build()})
    assert one.json["items"] == [item]
    outside = client.simulate_get("/api/v1.0/catalogue", params={"archive_url": "gs://x-y/z"})
    assert outside.json["code"] == "source_not_allowed"


def test_a_catalogue_is_tried_against_an_archive(at: Bench, client: testing.TestClient) -> None:
    url = at.build(payload_bin=b"1", suites_tgz=packed({"a": b"1"}), other_txt=b"2")
    (at.builds / "board" / "R17-1" / "odd\x1b[2J.txt").write_text("3")
    answer = checked(client, archive_url=url, catalogue=TRIED)
    assert answer.status_code == 200, answer.text
    assert answer.json["left_out"] == [r"'odd\x1b[2J.txt'"]
    payload, same, suites, docs = answer.json["artifacts"]
    assert (payload["objects"], payload["lands"]) == (["payload.bin"], ["payload.bin"])
    assert (suites["objects"], suites["lands"]) == (["suites.tgz"], ["./"])
    assert same["in_default"]
    assert docs["objects"] == []
    assert "no object fits doc*.zip; nearest of 3 objects" in docs["reason"]
    assert answer.json["left_over"] == ["other.txt"]
    assert answer.json["collisions"] == ["payload.bin"]
    assert at.rows("SELECT count(*) FROM stagings") == [(0,)]
    own = checked(client, archive_url=url).json
    assert [entry["name"] for entry in own["artifacts"]] == [
        *("payload", "suites", "notes", "symbols")
    ]


def test_a_file_that_is_a_folder_of_others_as_well_is_a_collision(
    at: Bench, client: testing.TestClient
) -> None:
    entry = "  - {{name: {0}, group: g, phase: foreground, pattern: {0}.bin, lands: {1}}}\n"
    places = {"a": "d/a.txt", "b": "d/a.txt/x", "c": "d/a.txtx", "e": "f/a", "h": "f/"}
    text = "artifacts:\n" + "".join(entry.format(*each) for each in places.items())
    url = at.build(a_bin=b"1", b_bin=b"2", c_bin=b"3", e_bin=b"4", h_bin=b"5")
    assert checked(client, archive_url=url, catalogue=text).json["collisions"] == ["d/a.txt"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("artifacts: []", "line 1: artifacts must list at least one entry"),
        ("artifacts:\n  - {pattern: x}", "line 2: phase must be one of"),
        ("{", "line 1"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_its_line(
    at: Bench, client: testing.TestClient, text: str, says: str
) -> None:
    answer = checked(client, archive_url=at.build(), catalogue=text)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, "catalogue")
    assert says in answer.json["detail"]


def test_an_archive_that_is_not_there_cannot_be_tried(
    at: Bench, client: testing.TestClient
) -> None:
    answer = checked(client, archive_url=f"file://{at.builds}/board/none")
    assert (answer.status_code, answer.json["code"]) == (404, "archive_not_found")


def test_an_absent_artifact_is_refused_with_its_pattern_and_nearest_names(at: Bench) -> None:
    url = at.build(payload_img=b"1", notes_txt=b"2")
    with pytest.raises(ArtifactNotFound) as refused:
        at.stage(url, "payload")
    assert "no object fits payload.bin" in refused.value.detail
    assert "nearest of 2 objects: payload.img" in refused.value.detail
