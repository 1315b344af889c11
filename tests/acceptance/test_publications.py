"""The publisher as its clients see it: archives, uploads, publications, distributions."""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.locks.hold import prepare_write
from staging_api.locks.keeper import Hold
from staging_api.publishing.run_model import Options
from staging_api.publishing.service import Publisher
from staging_api.vocabulary.publishing import OPERATIONS
from tests.apt_archive_api import PUBLICATIONS, AptArchiveApi
from tests.apt_archive_series.life import fake_signature, keys_in
from tests.builds import build, build_path
from tests.factories import ORIGIN
from tests.packages import ar, control_text, deb, deb_members, dsc, source_file
from tests.publisher import shop
from tests.rows import dump, execute, select
from tests.service import API, Answer, Client, Pod, Service, eventually
from tests.source import ArchiveSource

INDEX = "dists/stable/main/binary-amd64/Packages.gz"
#: Tables that workers write occasionally, without any request.
OF_WORKERS = (
    *("store_ledger", "store_checks", "store_reservations", "artifact_accesses"),
    *("service_processes", "staging_minutes", "staging_counted", "store_usage", "store_largest"),
)


@pytest.fixture
def archive(client: Client) -> AptArchiveApi:
    return AptArchiveApi.make(client)


@pytest.fixture(scope="module")
def third_pod(rows: Database, cluster_url: str, cluster: Service) -> Iterator[Publisher]:
    """Yield a publisher in this process, on the database and the store of the pods."""
    with shop(rows, cluster_url, cluster.store.parent) as made:
        yield made.publisher


def small(package: str = "hello", version: str = "1.0-1", architecture: str = "amd64") -> bytes:
    return deb(control_text(package, version, architecture), Form.GZ)


def test_from_nothing_to_a_package_that_any_pod_serves(
    archive: AptArchiveApi, pods: list[Pod]
) -> None:
    sent = archive.upload("hello_1.0-1_amd64.deb", small())
    assert (sent.status, sent.json["items"][0]["state"]) == (201, "accepted")
    run = archive.published()
    assert (run["state"], run["counts"]["published"]) == ("succeeded", 1)
    assert [phase["phase"] for phase in run["phases"]][-1] == "go_live"
    assert archive.client.get(f"{PUBLICATIONS}/{run['id']}").json == run
    other = archive.at(pods[1].client)
    path = "pool/main/h/hello/hello_1.0-1_amd64.deb"
    assert other.get(path).body == small()
    assert other.get("dists/stable/Release").body == archive.get("dists/stable/Release").body


@pytest.mark.parametrize(
    "path",
    [
        "pool/main/h/hello/hello_1.0-1_amd64.deb",
        "dists/stable/Release",
        "dists/stable/main/binary-amd64/Packages.xz",
    ],
)
def test_a_part_of_a_file_is_that_part_and_a_known_file_is_not_sent(
    archive: AptArchiveApi, path: str
) -> None:
    archive.upload("hello_1.0-1_amd64.deb", small())
    archive.published()
    whole = archive.get(path)
    assert whole.headers["ETag"] == f'"{hashlib.sha256(whole.body).hexdigest()}"'
    part = archive.get(path, Range="bytes=7-40")
    assert (part.status, part.body) == (206, whole.body[7:41])
    assert part.headers["Content-Range"] == f"bytes 7-40/{len(whole.body)}"
    assert archive.get(path, Range="bytes=-5").body == whole.body[-5:]
    assert archive.get(path, Range="bytes=999999-").status == 416
    assert archive.get(path, If_None_Match=whole.headers["ETag"]).status == 304
    head = archive.client.send("HEAD", f"/archive/{archive.name}/{path}")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(whole.body)))


def test_sources_and_binaries_come_in_one_form(archive: AptArchiveApi) -> None:
    tarball = {"hello_1.0.tar.xz": b"source"}
    text = dsc([source_file(*each) for each in tarball.items()], version="1.0")
    files = {"hello_1.0.dsc": text.encode(), **tarball, "a.deb": small(), "b.udeb": small("part")}
    sent = archive.send(files)
    assert [u["package"] for u in sent.json["items"]] == ["hello", "hello", "part"]
    archive.published()
    assert archive.get("pool/main/h/hello/hello_1.0.tar.xz").body == b"source"
    assert archive.get("dists/stable/main/debian-installer/binary-amd64/Packages.gz").status == 200


def test_staged_files_that_are_no_packages_or_not_there_are_refused_as_packages(
    archive: AptArchiveApi, source: ArchiveSource, client: Client
) -> None:
    path = build_path()
    objects = build()
    client.stage(source.add(path, objects))
    refused = client.post(f"{archive.path}/uploads?suite=stable", {"staged": [f"{path}/update.gz"]})
    assert refused.problem == (400, "package_invalid")
    missing = client.post(f"{archive.path}/uploads?suite=stable", {"staged": [f"{path}/none.deb"]})
    assert missing.problem == (404, "not_found")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: b"MZ" * 10, "not an ar archive"),
        (lambda: small()[:-30], "cut short"),
        (lambda: deb(control_text("hello", Filename="x")), "fields that the archive writes"),
        (lambda: deb(control_text("../hello")), "not a package name"),
        (lambda: deb(control_text("hello", architecture="riscv64")), "no architecture riscv64"),
        (lambda: deb(control_text("hello") + "X: " + "y" * (2 << 20)), "more than"),
        # Packed lazily: each test process imports this module, and would pack 64 MiB.
        (lambda: deb(archive=bytes(64 << 20)), "more than"),
    ],
)
def test_a_hostile_package_is_rejected_with_its_reason_and_nothing_else_is_lost(
    archive: AptArchiveApi, made: Callable[[], bytes], reason: str
) -> None:
    raw = made()
    refused = archive.upload("bad.deb", raw)
    assert refused.problem == (400, "package_invalid")
    assert reason in refused.json["detail"]
    mixed = archive.send({"bad.deb": raw, "good.deb": small("good")})
    assert [u["state"] for u in mixed.json["items"]] == ["rejected", "accepted"]
    listed = archive.client.get(f"{archive.path}/uploads?state=rejected").json["items"]
    assert [reason in upload["error_message"] for upload in listed] == [True, True]
    assert archive.published()["counts"]["published"] == 1


def test_a_page_of_another_site_cannot_upload(archive: AptArchiveApi) -> None:
    headers = {"Content-Type": "application/octet-stream", "Sec-Fetch-Site": "cross-site"}
    path = f"{archive.path}/uploads?suite=stable&name=a.deb"
    assert archive.client.send("POST", path, small(), headers).problem == (403, "forbidden")
    # No content type that a browser may send without preflight is accepted.
    plain = archive.client.send("POST", path, small(), {"Content-Type": "text/plain"})
    assert plain.problem == (415, "unsupported_media_type")


def test_an_upload_may_be_longer_than_any_other_body(archive: AptArchiveApi) -> None:
    large = [*deb_members(control_text("large"))[:2], ("data.tar", bytes(5 << 20))]
    assert archive.upload("a.deb", ar(large)).status == 201
    long = {"name": "x" * (5 << 20)}
    refused = archive.client.post(f"{archive.path}/suites", long)
    assert refused.problem == (413, "limit_exceeded")


def test_another_content_under_a_published_name_is_409(archive: AptArchiveApi) -> None:
    archive.upload("a.deb", small())
    again = archive.upload("a.deb", deb(control_text("hello"), Form.GZ, holds="other"))
    assert again.problem == (409, "conflict")


def test_many_send_the_same_packages_at_once_and_none_is_lost(
    archive: AptArchiveApi, pods: list[Pod]
) -> None:
    packages = [small(f"package-{n % 25:02}") for n in range(100)]

    def send(numbered: tuple[int, bytes]) -> int:
        number, raw = numbered
        return archive.at(pods[number % 2].client).upload(f"{number}.deb", raw).status

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(send, enumerate(packages))) == {201}
    assert archive.published()["counts"]["accepted"] == 100
    listed = archive.client.get(f"{archive.path}/packages?state=published").json["items"]
    assert len(listed) == 25


def test_an_upload_waits_for_its_decision(archive: AptArchiveApi) -> None:
    client = archive.client
    suite = f"{archive.path}/suites/stable"
    assert client.send("PATCH", suite, b'{"auto_accept": false}', JSON).status == 200
    (first,) = archive.upload("a.deb", small("one")).json["items"]
    (second,) = archive.upload("b.deb", small("two")).json["items"]
    assert first["state"] == "new"
    assert client.post(f"{API}/uploads/{first['id']}/accept", {}).json["state"] == "accepted"
    assert client.post(f"{API}/uploads/{second['id']}/reject", {}).problem[0] == 400
    rejected = client.post(f"{API}/uploads/{second['id']}/reject", {"reason": "too old"}).json
    assert (rejected["state"], rejected["error_message"]) == ("rejected", "too old")
    assert client.post(f"{API}/uploads/{second['id']}/accept", {}).problem == (409, "conflict")
    assert archive.published()["counts"]["published"] == 1


JSON = {"Content-Type": "application/json"}


def test_a_package_is_deleted_for_a_reason(archive: AptArchiveApi) -> None:
    archive.upload("a.deb", small())
    archive.published()
    (package,) = archive.client.get(f"{archive.path}/packages").json["items"]
    path = f"{archive.path}/packages/{package['id']}"
    gone = archive.client.delete(path, {"reason": "a mistake"})
    assert gone.json["state"] == "deleted"
    assert archive.client.delete(path, {"reason": "again"}).problem == (409, "conflict")
    archive.published()
    release = archive.get("dists/stable/Release").body.decode()
    assert " 0 main/binary-amd64/Packages\n" in release


def test_a_generation_is_pinned_looked_at_and_gone_back_to(archive: AptArchiveApi) -> None:
    client = archive.client
    archive.upload("a.deb", small())
    first = archive.published()["generation_id"]
    assert client.send("PUT", f"{API}/generations/{first}/pin").json["pinned_at"]
    archive.upload("b.deb", small(version="2.0"))
    archive.published()
    index = "dists/stable/main/binary-amd64/Packages.gz"
    old = client.get(f"/archive/{archive.name}@{first}/{index}").body
    assert old != archive.get(index).body
    body = f'{{"generation_id": "{first}"}}'.encode()
    back = client.send("PATCH", f"{API}/distributions/{archive.name}", body, JSON).json
    assert back["live"]["number"] == 3
    assert back["head"]["number"] == 2
    assert archive.get(index).body == old


def change(archive: AptArchiveApi, path: str, **values: object) -> Answer:
    return archive.client.send("PATCH", path, json.dumps(values).encode(), JSON)


def test_going_back_is_a_state_of_a_suite_until_it_is_lifted(archive: AptArchiveApi) -> None:
    client, place = archive.client, f"{API}/distributions/{archive.name}"
    archive.upload("a.deb", small())
    first = archive.published()["generation_id"]
    old = archive.get(INDEX).body
    archive.upload("b.deb", small(version="2.0"))
    archive.published()
    new = archive.get(INDEX).body
    back = change(archive, place, generation_id=first, suites=["stable"], reason="2.0 is bad")
    assert back.status == 200
    (held,) = back.json["held"]
    assert (held["suite"], held["generation_id"], held["reason"]) == ("stable", first, "2.0 is bad")
    change(archive, archive.path, label="another")
    archive.published()
    assert archive.get(INDEX).body == old
    lifted = client.delete(f"{place}/holds/stable")
    assert (lifted.status, lifted.json["held"]) == (200, [])
    assert client.delete(f"{place}/holds/stable").problem == (409, "conflict")
    archive.published()
    assert archive.get(INDEX).body == new
    held_now = client.send("PUT", f"{place}/holds/stable", b"{}", JSON)
    assert held_now.json["held"][0]["suite"] == "stable"
    (upload,) = archive.upload("c.deb", small("world")).json["items"]
    assert "which this lifts" in upload["note"]
    assert client.get(place).json["held"] == []
    assert change(archive, place, generation_id=first, suites=["nowhere"]).problem[0] == 400


def test_accepting_an_upload_lifts_the_hold_of_its_suite(archive: AptArchiveApi) -> None:
    client, place = archive.client, f"{API}/distributions/{archive.name}"
    change(archive, f"{archive.path}/suites/stable", auto_accept=False)
    archive.published()
    client.send("PUT", f"{place}/holds/stable", b"{}", JSON)
    uploads = [archive.upload("a.deb", small(name)).json["items"][0] for name in ("one", "two")]
    reject = {"reason": "too old"}
    assert client.post(f"{API}/uploads/{uploads[0]['id']}/reject", reject).status == 200
    assert len(client.get(place).json["held"]) == 1
    accepted = client.post(f"{API}/uploads/{uploads[1]['id']}/accept", {}).json
    assert "which this lifts" in accepted["note"]
    assert client.get(place).json["held"] == []


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"architectures": ["all"]}, "architectures", "in the index of each architecture"),
        ({"architectures": ["source"]}, "architectures", "not the architecture of a machine"),
        ({"architectures": ["amd64", "linux-any"]}, "architectures", "of a machine"),
        ({"architectures": []}, "architectures", "at least 1"),
        ({"components": ["a b"]}, "components", "match"),
        ({"components": ["a/source"]}, "components", "folder for other files"),
        ({"components": ["main", "main"]}, "components", "each once"),
        ({"codename": "a/b"}, "codename", "match"),
        ({"aliases": [".."]}, "aliases", "match"),
        ({"description": "a\u2028b"}, "description", "line break"),
        ({"description": "a\nSHA256:"}, "description", "line break"),
        ({"description": None}, "description", "null"),
    ],
)
def test_values_that_could_not_be_published_are_refused(
    archive: AptArchiveApi, values: dict[str, object], field: str, reason: str
) -> None:
    refused = change(archive, f"{archive.path}/suites/stable", **values)
    assert refused.problem == (400, "invalid_request")
    assert field in refused.json["errors"][0]["field"]
    assert reason in refused.json["errors"][0]["message"]
    assert archive.published()["state"] == "succeeded"


def test_a_label_may_have_any_character_but_those_of_line_ends(archive: AptArchiveApi) -> None:
    assert change(archive, archive.path, label=" two\xa0words \u200dé ").status == 200
    archive.published()
    release = archive.get("dists/stable/Release").body.decode()
    assert "\nLabel: two\xa0words \u200dé\n" in release


def test_a_name_of_a_suite_is_not_given_twice(archive: AptArchiveApi) -> None:
    client = archive.client
    assert client.post(f"{archive.path}/suites", {"name": "testing"}).status == 201
    testing = f"{archive.path}/suites/testing"
    assert change(archive, testing, aliases=["stable"]).problem == (409, "conflict")
    assert change(archive, testing, aliases=["next"], codename="noble").status == 200
    new = {"name": "new", "aliases": ["next"]}
    assert client.post(f"{archive.path}/suites", new).problem == (409, "conflict")
    archive.published()
    for name in ("testing", "next", "noble"):
        assert b"Suite: testing\n" in archive.get(f"dists/{name}/Release").body


def test_either_validator_confirms_that_a_client_has_the_release(
    archive: AptArchiveApi,
) -> None:
    archive.upload("a.deb", small())
    archive.published()
    for path in ("dists/stable/Release", INDEX):
        answer = archive.get(path)
        assert answer.headers["ETag"]
        since = answer.headers["Last-Modified"]
        assert archive.get(path, If_Modified_Since=since).status == 304
        assert archive.get(path, If_None_Match=answer.headers["ETag"]).status == 304
    change(archive, archive.path, label="another")
    archive.published()
    assert archive.get("dists/stable/Release", If_Modified_Since=since).status == 200


#: By operation that takes the publisher's lock: operation and purpose in the 409 response.
FIRSTS: dict[str, tuple[str, str | None]] = {
    **{operation: (operation, None) for operation in OPERATIONS},
    "go-back": ("publish-distro", "go-back"),
    "hold": ("publish-distro", "go-back"),
    "renewal": ("publish-distro", "renewal"),
}
SECONDS = (*OPERATIONS, "go-back", "hold")
#: Each operation holds the lock once, and is refused at least once; `make prove` has all pairs.
PAIRS = [
    pytest.param(
        first, second, marks=[] if (row + 1) % len(SECONDS) == column else [pytest.mark.prove]
    )
    for (row, first), (column, second) in itertools.product(enumerate(FIRSTS), enumerate(SECONDS))
]


def begin(publisher: Publisher, archive: AptArchiveApi, what: str) -> object:
    """Run an operation that takes the lock, to its end."""
    match what:
        case "go-back":
            return publisher.go_back(archive.name, None, ORIGIN)
        case "hold":
            return publisher.go_back(archive.name, None, ORIGIN, suites=("stable",))
        case "renewal":
            return publisher.renew(archive.name, ORIGIN)
        case _:
            found = publisher.apt_archive(archive.name)
            return publisher.run(what, found, Options(), ORIGIN)  # type: ignore[arg-type]


def ask(archive: AptArchiveApi, what: str) -> Answer:
    """Request the same operation from a pod."""
    place = f"{API}/distributions/{archive.name}"
    match what:
        case "go-back":
            (live,) = archive.client.get(f"{place}/generations").json["items"][-1:]
            body = json.dumps({"generation_id": live["id"]}).encode()
            return archive.client.send("PATCH", place, body, JSON)
        case "hold":
            return archive.client.send("PUT", f"{place}/holds/stable", b"{}", JSON)
        case _:
            return archive.publish(what)


@pytest.fixture
def signer(third_pod: Publisher, tmp_path: Path) -> Publisher:
    """Return the third pod with a key that no worker has: only this pod renews its signatures."""
    key = next(key for key in keys_in(tmp_path / "keys") if key)
    builder = third_pod.builder
    releaser = replace(builder.releaser, key=key, sign=fake_signature)
    return replace(third_pod, builder=replace(builder, releaser=releaser))


def has_expiring_release(archive: AptArchiveApi, signer: Publisher, rows: Database) -> None:
    change(archive, archive.path, valid_for_seconds=3600)
    begin(signer, archive, "publish-distro")
    execute(
        rows,
        "UPDATE release_files SET valid_until = clock_timestamp() + interval '20 minutes'"
        " FROM suites s, apt_archives a WHERE s.id = suite_id AND a.id = s.archive_id"
        f" AND a.name = '{archive.name}'",
    )


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_409_names_a_run_that_has_only_just_got_the_lock(
    archive: AptArchiveApi, signer: Publisher, rows: Database, first: str, second: str
) -> None:
    """The row of a run is written after its lock was granted."""
    has_expiring_release(archive, signer, rows)
    granted, second_sent, go_on = Event(), Event(), Event()

    def slow(database: Database, held: Hold) -> None:
        if not granted.is_set():
            granted.set()
            assert second_sent.wait(60)
        prepare_write(database, held)

    def wait(step: str) -> None:
        if step == "begun":
            go_on.wait(60)

    holder = replace(signer, reached=wait)
    with ThreadPoolExecutor(2) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr("staging_api.publishing.runlog.prepare_write", slow)
        running = pool.submit(begin, holder, archive, first)
        assert granted.wait(60)
        refusing = pool.submit(ask, archive, second)
        refused_by = "SELECT 1 FROM publisher_runs WHERE state = 'running'"
        assert select(rows, refused_by) == []
        second_sent.set()
        refused = refusing.result()
        go_on.set()
        assert running.result() is not None
    assert refused.problem == (409, "lock_held")
    blocking = refused.json["publication"]
    assert (blocking["operation"], blocking["purpose"]) == FIRSTS[first]
    assert blocking["archive"] == archive.name
    run = archive.client.get(f"{PUBLICATIONS}/{blocking['id']}").json
    assert (run["state"], run["purpose"]) == ("succeeded", FIRSTS[first][1])


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_409_names_the_operation_in_progress_and_leaves_no_trace(
    archive: AptArchiveApi, signer: Publisher, rows: Database, first: str, second: str
) -> None:
    has_expiring_release(archive, signer, rows)
    archive.upload("a.deb", small())
    begun, go_on = Event(), Event()

    def wait(step: str) -> None:
        if step == "begun":
            begun.set()
            go_on.wait(60)

    holder = replace(signer, reached=wait)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(begin, holder, archive, first)
        assert begun.wait(60)
        before = dump(rows, but=OF_WORKERS)
        refused = ask(archive, second)
        assert dump(rows, but=OF_WORKERS) == before
        go_on.set()
        assert running.result() is not None
    assert refused.problem == (409, "lock_held")
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json["lock"]["kind"] == "publisher"
    blocking = refused.json["publication"]
    assert (blocking["operation"], blocking["purpose"]) == FIRSTS[first]
    assert blocking["archive"] == archive.name
    assert ask(archive, second).status in (200, 201)


def test_a_409_says_when_the_run_will_be_over(
    archive: AptArchiveApi, third_pod: Publisher, rows: Database
) -> None:
    archive.upload("a.deb", small())
    begun, go_on = Event(), Event()

    def wait(step: str) -> None:
        if step == "begun":
            begun.set()
            go_on.wait(60)

    holder = replace(third_pod, reached=wait)

    def refused_after() -> int:
        begun.clear()
        go_on.clear()
        with ThreadPoolExecutor(1) as pool:
            made = holder.apt_archive(archive.name)
            running = pool.submit(holder.run, "publish-distro", made, Options(), ORIGIN)
            assert begun.wait(60)
            refused = archive.publish("publish-distro")
            go_on.set()
            running.result()
        assert refused.problem == (409, "lock_held")
        return int(refused.headers["Retry-After"])

    # Without earlier runs to estimate from: the lease, which is renewed while the run lasts.
    assert refused_after() <= math.ceil(third_pod.locks.lease_seconds)
    execute(
        rows,
        "UPDATE publisher_runs SET started_at = finished_at - interval '200 s'"
        " WHERE finished_at IS NOT NULL",
    )
    assert 100 < refused_after() <= 200


def test_of_many_callers_on_two_pods_exactly_one_gets_through(
    archive: AptArchiveApi, third_pod: Publisher, pods: list[Pod], rows: Database
) -> None:
    """The winner waits until all others have their responses."""
    archive.upload("a.deb", small())
    lock = Event()
    ((before,),) = select(rows, "SELECT count(*) FROM publisher_runs")

    def wait(step: str) -> None:
        if step == "begun":
            lock.wait(60)

    holder = replace(third_pod, reached=wait)

    def ask(number: int) -> int:
        if number == 0:
            holder.run("publish-ftpmaster", holder.apt_archive(archive.name), Options(), ORIGIN)
            return 201
        wait_until_held(rows)
        return archive.at(pods[number % 2].client).publish(OPERATIONS[number % 3]).status

    with ThreadPoolExecutor(20) as pool:
        requests = [pool.submit(ask, number) for number in range(20)]
        refused = [each.result() for each in requests[1:]]
        lock.set()
        assert requests[0].result() == 201
    assert refused == [409] * 19
    assert select(rows, "SELECT count(*) FROM publisher_runs") == [(before + 1,)]


def wait_until_held(rows: Database) -> None:
    running = "SELECT 1 FROM publisher_runs WHERE state = 'running'"
    eventually(lambda: bool(select(rows, running)), "no run began")


def test_an_unknown_archive_or_suite_is_refused_without_a_lock(
    archive: AptArchiveApi, rows: Database
) -> None:
    before = dump(rows, but=OF_WORKERS)
    body = {"operation": "publish-distro", "archive": "nowhere"}
    assert archive.client.post(PUBLICATIONS, body).problem == (404, "not_found")
    refused = archive.publish(suites=["stable", "nowhere"])
    assert refused.problem == (400, "invalid_request")
    assert [each["field"] for each in refused.json["errors"]] == ["options.suites"]
    assert archive.publish("rewrite-everything").problem == (400, "invalid_request")
    hold = f"{API}/distributions/{archive.name}/holds/nowhere"
    assert archive.client.send("PUT", hold, b"{}", JSON).problem == (404, "not_found")
    assert archive.client.delete(hold).problem == (404, "not_found")
    assert dump(rows, but=OF_WORKERS) == before


def test_the_files_of_a_copy_are_listed_in_the_order_in_which_they_are_safe_to_write(
    archive: AptArchiveApi,
) -> None:
    archive.upload("a.deb", small())
    archive.published()
    path = f"{API}/distributions/{archive.name}/files"
    pool = archive.client.get(path).json["items"]
    assert [file["path"] for file in pool] == ["pool/main/h/hello/hello_1.0-1_amd64.deb"]
    dists = archive.client.get(f"{path}?part=dists").json["items"]
    kinds = ["by-hash" if "by-hash" in f["path"] else f["path"].rpartition("/")[2] for f in dists]
    assert kinds[0] == "by-hash"
    assert kinds[-1] == "Release"
    assert kinds.index("Packages.gz") > len(kinds) - 1 - kinds[::-1].index("by-hash")
    for file in dists:
        content = archive.get(file["path"]).body
        assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_a_repeated_request_with_one_key_runs_once(archive: AptArchiveApi, tmp_path: Path) -> None:
    body = {"operation": "publish-distro", "archive": archive.name}
    key = {"Idempotency_Key": f"{archive.name}-1"}
    first = archive.client.post(PUBLICATIONS, body, **key)
    again = archive.client.post(PUBLICATIONS, body, **key)
    assert (first.json, again.headers["Idempotent-Replayed"]) == (again.json, "true")
