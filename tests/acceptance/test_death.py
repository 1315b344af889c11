"""Processes that die or freeze in the middle of their work: no false response, others continue."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest
import urllib3

from staging_api.db.engine import Database, open_database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import check_store, dump, grants, select, states
from tests.service import STAGINGS, Answer, Pod, Service, eventually, service, wait_until_ready
from tests.source import ArchiveSource, Stop

FOREGROUND = {"full_payload", "stateful", "test_suites"}


@pytest.fixture
def own_rows(own_url: str) -> Iterator[Database]:
    """Its tables."""
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


@pytest.fixture
def own_service(own_url: str, source: ArchiveSource, tmp_path: Path) -> Iterator[Service]:
    """Yield a service with short leases, without pods yet."""
    with service(tmp_path, own_url, f"{source.url}/") as found:
        yield found
        found.kill()


def stage(pod: Pod, url: str) -> Answer | None:
    """Request a build; return None if the pod died before it answered."""
    try:
        return pod.client.stage(url)
    except urllib3.exceptions.HTTPError:
        return None


def hold_foreground(source: ArchiveSource, url: str) -> list[Stop]:
    """Pause the downloads of all foreground artifacts, one of them after some of its bytes."""
    others = (source.hold(url, name) for name in ("stateful.tgz", "test_suites.tar.bz2"))
    return [source.hold(url, FULL_PAYLOAD, after_bytes=100_000), *others]


def wait_for_expiry(rows: Database, url: str) -> None:
    """Wait until no process holds a lock on an archive, by the database's clock."""
    held = (
        "SELECT 1 FROM lock_scopes"
        " WHERE scope = :u AND lock_id IS NOT NULL AND expires_at > clock_timestamp()"
    )
    eventually(lambda: not select(rows, held, u=url), "the lock does not run out")


def served(pod: Pod, path: str, rows: Database) -> dict[str, tuple[int, str, bytes]]:
    """Return every file that the tables name, as a client receives it."""
    files = select(rows, "SELECT path FROM staged_files WHERE path LIKE :p", p=f"{path}/%")
    answers = {file: pod.client.get(f"/static/{file}") for (file,) in files}
    return {file: (a.status, a.headers["ETag"], a.body) for file, a in answers.items()}


def test_killed_in_a_request_it_leaves_nothing_staged_and_another_process_completes_it(
    own_service: Service, own_rows: Database, source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    victim, other = own_service.api(2)
    held = hold_foreground(source, url)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(stage, victim, url)
        for each in held:
            each.wait_until_reached()
        victim.kill()
        assert asked.result() is None
    now = states(own_rows, url)
    # All three side by side; the rest in the background.
    assert {name for name, state in now.items() if state == "staging"} == FOREGROUND
    assert "staged" not in now.values()
    assert select(own_rows, "SELECT count(*) FROM staged_files") == [(0,)]
    assert other.client.get(f"/static/{path}/update.gz").problem == (404, "not_found")
    # The lease of the dead process blocks others until it expires; the response has the time.
    assert other.client.stage_in_the_end(url).status == 201
    assert other.client.get(f"/static/{path}/update.gz").body == objects[FULL_PAYLOAD]
    assert grants(own_rows, url) == [
        ("archive", "anonymous", "superseded"),
        ("archive", "anonymous", "released"),
    ]
    check_store(own_rows, own_service.store)


def test_a_killed_process_of_a_pod_is_replaced_and_a_worker_completes_its_work(
    own_service: Service, own_rows: Database, source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    (pod,) = own_service.api()
    held = hold_foreground(source, url)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(stage, pod, url)
        for each in held:
            each.wait_until_reached()
        ((holder,),) = select(own_rows, "SELECT holder FROM api_locks")
        pod.kill_one(int(holder.split(":")[1]))
        assert asked.result() is None
    assert "staged" not in states(own_rows, url).values()
    own_service.worker()
    wait_until_ready(pod)
    (staging,) = pod.client.get(STAGINGS).json["items"]
    pod.client.wait(f"{STAGINGS}/{staging['id']}", "staged")
    assert pod.client.get(f"/static/{path}/update.gz").body == objects[FULL_PAYLOAD]
    check_store(own_rows, own_service.store)


def test_a_worker_killed_in_the_background_says_nothing_and_the_next_one_completes(
    own_service: Service, own_rows: Database, source: ArchiveSource
) -> None:
    path = build_path()
    url = source.add(path, build())
    (pod,) = own_service.api()
    held = source.hold(url, "autotest.tar", after_bytes=2_000)
    victim = own_service.worker()
    asked = pod.client.stage(url)
    assert asked.status == 201
    held.wait_until_reached()
    victim.kill()
    assert states(own_rows, url)["autotest"] == "staging"
    assert pod.client.get(asked.headers["Location"]).json["state"] == "foreground_staged"
    assert pod.client.get(f"/static/{path}/autotest/server/control").status == 404
    own_service.worker()
    pod.client.wait(asked.headers["Location"], "staged")
    assert pod.client.get(f"/static/{path}/autotest/server/control").status == 200
    assert [outcome for *_, outcome in grants(own_rows, url)].count("released") >= 2
    assert source.read_of(url)[FULL_PAYLOAD] == 1
    check_store(own_rows, own_service.store)


def test_frozen_past_its_lease_a_request_changes_nothing_once_it_goes_on(
    own_service: Service, own_rows: Database, source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    frozen, other = own_service.api(2)
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(stage, frozen, url)
        held.wait_until_reached()
        # Not in the middle of a transaction, which would delay the other process.
        eventually(
            lambda: list(states(own_rows, url).values()).count("staged") == len(FOREGROUND) - 1,
            "the other artifacts are not staged",
        )
        frozen.signal(SIGSTOP)
        wait_for_expiry(own_rows, url)
        assert other.client.stage(url).status == 201
        rows, files = dump(own_rows), served(other, path, own_rows)
        held.release()
        frozen.signal(SIGCONT)
        late = asked.result()
    assert late is not None
    assert late.problem == (409, "lock_lost")
    assert dump(own_rows) == rows
    assert served(other, path, own_rows) == files
    assert files[f"{path}/update.gz"][2] == objects[FULL_PAYLOAD]
    check_store(own_rows, own_service.store)


def test_frozen_past_its_lease_a_worker_changes_nothing_once_it_goes_on(
    own_service: Service, own_rows: Database, source: ArchiveSource
) -> None:
    path = build_path()
    url = source.add(path, build())
    (pod,) = own_service.api()
    frozen = own_service.worker()
    held = source.hold(url, "autotest.tar", after_bytes=2_000)
    asked = pod.client.stage(url).headers["Location"]
    held.wait_until_reached()
    frozen.signal(SIGSTOP)
    own_service.worker()
    pod.client.wait(asked, "staged")
    wait_for_expiry(own_rows, url)
    rows, files = dump(own_rows), served(pod, path, own_rows)
    held.release()
    frozen.signal(SIGCONT)
    frozen.wait_for_log("is left to another")
    assert dump(own_rows) == rows
    assert served(pod, path, own_rows) == files
    check_store(own_rows, own_service.store)
