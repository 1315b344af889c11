"""Uploads withdrawn before any client saw them: they block neither their version nor their path."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.errors import Conflict
from staging_api.publishing.model import Upload
from staging_api.publishing.rows import apt_archives, packages, uploads
from tests.packages import control_text, deb, dsc, source_file
from tests.publisher import Shop, find, shop
from tests.rows import select
from tests.service import eventually

Files = Mapping[str, bytes]


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Yield a suite whose uploads wait for a decision, and one whose uploads do not."""
    with shop(database, database_url, tmp_path) as made:
        made.set_up({"stable": {"auto_accept": False}, "testing": {}})
        yield made


def binary(version: str = "1.0-1", holds: str = "wrong", ending: str = "deb") -> Files:
    return {f"a.{ending}": deb(control_text("hello", version), Form.GZ, holds=holds)}


def source(orig: bytes = b"orig", debian: bytes = b"wrong", version: str = "1.0-1") -> Files:
    upstream = version.partition("-")[0]
    files = {f"hello_{upstream}.orig.tar.gz": orig, f"hello_{version}.debian.tar.xz": debian}
    text = dsc([source_file(*each) for each in files.items()], version=version)
    return {f"hello_{version}.dsc": text.encode(), **files}


def reject(shop: Shop, upload: Upload) -> None:
    before = ("new", "unapproved", "accepted")
    given = {"state": "rejected", "before": before, "caller": "ada", "reason": "wrong"}
    with shop.database.begin() as conn:
        assert uploads.decide(conn, upload.id, **given)  # type: ignore[arg-type]


def send_and_reject(shop: Shop, files: Files) -> None:
    (upload,) = shop.send(files)
    reject(shop, upload)


def accept_and_reject(shop: Shop, files: Files) -> None:
    (upload,) = shop.send(files, suite="testing")
    reject(shop, upload)


def delete_while_pending(shop: Shop, files: Files) -> None:
    shop.send(files, suite="testing")
    shop.run("process-accepted")
    with shop.database.begin() as conn:
        archive = apt_archives.find_apt_archive(conn, shop.name)
        (one,) = packages.list_package_publications(conn, archive.id, limit=9)
        packages.delete_package_publication(conn, archive.id, one.id, "ada", "wrong")


GIVE_UP = [send_and_reject, accept_and_reject, delete_while_pending]


@pytest.mark.parametrize("give_up", GIVE_UP)
@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (binary(), binary(holds="right")),
        (binary(ending="udeb"), binary(holds="right", ending="udeb")),
        (binary("1.0"), binary("0:1.0-0", holds="right")),
        (binary("1:1.0"), binary("1.0", holds="right")),
        (source(), source(debian=b"right")),
        (source(orig=b"wrong"), source(orig=b"right", debian=b"right")),
        (source(version="1.0-0"), source(version="1.0-00", debian=b"right")),
    ],
)
def test_corrected_bytes_of_a_withdrawn_upload_are_taken_at_once(
    here: Shop, give_up: Callable[[Shop, Files], None], wrong: Files, right: Files
) -> None:
    give_up(here, wrong)
    (upload,) = here.send(right, suite="testing")
    assert upload.state == "accepted"
    assert here.run().counts["published"] == 1
    with here.database.connect() as conn:
        (found,) = packages.list_package_publications(
            conn, here.archive.id, limit=9, state="published"
        )
    served = find(here.database, found.path)
    assert served is not None
    assert here.bytes_of(served) in right.values()
    for name, raw in right.items():
        if not name.startswith("a."):
            assert here.served(f"pool/main/h/hello/{name}") == raw


@pytest.mark.parametrize(
    ("shared", "right"),
    [
        (source(version="1.0-1"), source(version="1.0-2", debian=b"right")),
        (source(), binary(holds="right")),
        (binary("2.0"), binary(holds="right")),
    ],
)
def test_files_under_other_paths_stay(here: Shop, shared: Files, right: Files) -> None:
    """A later version may use the upstream archive of a rejected one."""
    send_and_reject(here, shared)
    before = select(here.database, "SELECT count(*) FROM package_files WHERE removed_at IS NULL")
    own = {name: raw for name, raw in right.items() if "orig" not in name}
    (upload,) = here.send(own, suite="testing")
    assert upload.state == "accepted"
    after = select(here.database, "SELECT count(*) FROM package_files WHERE removed_at IS NULL")
    assert after[0][0] == before[0][0] + len(own)


def wait(shop: Shop, files: Files) -> None:
    shop.send(files)


def accept(shop: Shop, files: Files) -> None:
    shop.send(files, suite="testing")


def pend(shop: Shop, files: Files) -> None:
    shop.send(files, suite="testing")
    shop.run("process-accepted")


def publish(shop: Shop, files: Files) -> None:
    shop.send(files, suite="testing")
    shop.run()


def publish_and_delete(shop: Shop, files: Files) -> None:
    publish(shop, files)
    with shop.database.begin() as conn:
        archive = apt_archives.find_apt_archive(conn, shop.name)
        (one,) = packages.list_package_publications(conn, archive.id, limit=9)
        packages.delete_package_publication(conn, archive.id, one.id, "ada", "wrong")
    shop.run()


def reject_one_of_two(shop: Shop, files: Files) -> None:
    """Upload the same package to two suites: one copy waits, the other is rejected."""
    send_and_reject(shop, files)
    shop.send(files)


@pytest.mark.parametrize(
    "keep", [wait, accept, pend, publish, publish_and_delete, reject_one_of_two]
)
@pytest.mark.parametrize(
    ("sent", "other"),
    [(binary(), binary(holds="right")), (source(), source(debian=b"right"))],
)
def test_a_version_that_was_published_or_is_waiting_keeps_its_bytes(
    here: Shop, keep: Callable[[Shop, Files], None], sent: Files, other: Files
) -> None:
    keep(here, sent)
    with pytest.raises(Conflict, match="another"):
        here.send(other, suite="testing")
    assert here.send(sent, suite="testing")


def test_an_upstream_tar_of_another_version_stays(here: Shop) -> None:
    send_and_reject(here, source())
    here.send(source(version="1.0-2"), suite="testing")
    with pytest.raises(Conflict):
        here.send(source(orig=b"right", debian=b"right"), suite="testing")


def test_a_refused_source_can_be_sent_again(here: Shop) -> None:
    """The .dsc had a path before its upstream archive was found to be taken."""
    publish(here, source(version="1.0-2", debian=b"x"))
    with pytest.raises(Conflict):
        here.send(source(orig=b"wrong"), suite="testing")
    (upload,) = here.send(source(debian=b"right"), suite="testing")
    assert upload.state == "accepted"


def test_of_many_corrections_at_once_one_is_taken(here: Shop) -> None:
    send_and_reject(here, binary())

    def send(number: int) -> str | None:
        try:
            (upload,) = here.send(binary(holds=f"right {number}"), suite="testing")
        except Conflict:
            return None
        return upload.sha256

    with ThreadPoolExecutor(8) as pool:
        taken = [each for each in pool.map(send, range(8)) if each]
    assert len(taken) == 1
    here.run()
    with here.database.connect() as conn:
        (found,) = packages.list_package_publications(conn, here.archive.id, limit=9)
    assert found.sha256 == taken[0]


def test_an_upload_locks_all_files_that_it_needs_before_any_release(here: Shop) -> None:
    """Tidying does so, too: in another order, both could wait for each other."""
    here.send({**binary(), **source()}, suite="testing")
    again = {**binary(), **source(version="1.0-2")}
    del again["hello_1.0.orig.tar.gz"]
    with here.database.begin() as tidying, ThreadPoolExecutor(1) as threads:
        tidying.exec_driver_sql("SELECT FROM package_files FOR UPDATE")
        sent = threads.submit(here.send, again, suite="testing")
        waiting = (
            "SELECT 1 FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        eventually(lambda: sent.done() or bool(select(here.database, waiting)), "it does not wait")
        try:
            for table in ("binary_releases", "source_releases"):
                tidying.exec_driver_sql(f"SELECT FROM {table} FOR UPDATE NOWAIT")
        finally:
            tidying.rollback()
        assert [each.state for each in sent.result()] == ["accepted"] * 2
