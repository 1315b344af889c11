"""Queries about one suite or archive: rows of other suites and archives do not appear."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.publishing.rows import packages, serving
from tests.packages import control_text, deb, dsc, source_file
from tests.publisher import Shop, find, shop
from tests.rows import execute, select


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up({"stable": {}, "testing": {}})
        yield made


@pytest.fixture
def there(here: Shop) -> Shop:
    """Return another archive, with suites of the same names."""
    made = replace(here, name="other")
    made.set_up({"stable": {}, "testing": {}})
    return made


def binary(name: str, version: str = "1.0-1") -> bytes:
    return deb(control_text(name, version), Form.GZ)


def send(to: Shop, name: str, suite: str = "stable") -> None:
    """Upload a source package and a binary package with this name."""
    files = {f"{name}_1.0.orig.tar.xz": name.encode(), f"{name}_1.0-1.debian.tar.xz": b"d"}
    listed = [source_file(*each) for each in files.items()]
    to.send({f"{name}_1.0-1.dsc": dsc(listed, name).encode(), **files}, suite=suite)
    to.upload(binary(name), suite=suite)


def pool(of: Shop, after: str = "", limit: int = 100) -> list[str]:
    with of.database.connect() as conn:
        found = serving.pool_list(conn, of.name, after=after, limit=limit)
    return [file.path.rpartition("/")[2] for file in found]


def test_the_pool_lists_what_is_published_of_its_archive_alone(here: Shop, there: Shop) -> None:
    send(here, "hello")
    send(there, "other")
    here.run()
    there.run()
    send(here, "waits")
    published = [
        "hello_1.0-1.debian.tar.xz",
        "hello_1.0-1.dsc",
        "hello_1.0-1_amd64.deb",
        "hello_1.0.orig.tar.xz",
    ]
    assert pool(here) == published
    assert pool(there) == [name.replace("hello", "other") for name in published]
    assert pool(here, limit=3) == published[:3]
    assert pool(here, after=f"pool/main/h/hello/{published[1]}") == published[2:]


def test_a_page_of_the_pool_says_where_the_next_one_begins(here: Shop) -> None:
    send(here, "hello")
    here.run()
    pages = partial(
        here.publisher.distributions.files, here.name, generation_id=None, part="pool", limit=3
    )
    first = pages(after="")
    assert (len(first.items), first.next) == (3, first.items[-1].path)
    last = pages(after=first.items[-1].path)
    assert (len(last.items), last.next) == (1, None)


def test_a_file_of_the_pool_is_served_once_it_is_published_and_by_its_archive(
    here: Shop, there: Shop
) -> None:
    send(here, "hello")
    send(there, "other")
    here.run()
    for shop_, name, found in (
        (here, "hello", True),
        (there, "hello", False),
        (there, "other", False),
    ):
        for ending in ("_1.0-1.dsc", "_1.0.orig.tar.xz", "_1.0-1_amd64.deb"):
            path = f"pool/main/{name[0]}/{name}/{name}{ending}"
            with here.database.connect() as conn:
                assert bool(serving.pool_file_at(conn, shop_.name, path)) == found, path


def test_a_generation_is_listed_and_served_of_its_own_archive_alone(
    here: Shop, there: Shop
) -> None:
    send(here, "hello")
    send(there, "other")
    here.run()
    there.run()
    (live,) = select(
        here.database,
        "SELECT g.id FROM dists_generations g JOIN apt_archives a ON a.id = g.archive_id"
        " WHERE a.name = :name AND g.state = 'live'",
        name=here.name,
    )[0]
    path = "dists/stable/Release"
    with here.database.connect() as conn:
        listed = {each.path for each in serving.dists_list(conn, here.name, live)}
        of_other = list(serving.dists_list(conn, there.name, live))
    assert {path, "dists/testing/Release"} < listed
    assert of_other == []
    assert here.served(path, live)
    assert find(there.database, path, live, there.name) is None


def test_a_run_has_work_in_those_suites_alone_of_which_clients_do_not_see_all(
    here: Shop, there: Shop
) -> None:
    stable, testing = here.archive.suites

    def work() -> set[int]:
        assert there.publisher.with_work(there.archive) == set()
        return here.publisher.with_work(here.archive)

    for each, seconds in ((here, 3600), (there, 3600 * 1000)):
        each.change(valid_for_seconds=seconds)
        each.run()
    assert work() == set()
    here.upload(binary("hello"))
    here.run("process-accepted")
    assert work() == {stable.id}
    here.run()
    with here.database.begin() as conn:
        (one,) = packages.list_package_publications(conn, here.archive.id, limit=2)
        packages.delete_package_publication(conn, here.archive.id, one.id, "ada", "a mistake")
    assert work() == {stable.id}
    here.upload(deb(control_text("waits", architecture="arm64"), Form.GZ))
    here.run("process-accepted")
    here.change("stable", architectures=["amd64"])
    here.run()
    assert work() == set()
    expires = "UPDATE release_files SET valid_until = clock_timestamp() + interval '20 minutes'"
    execute(here.database, f"{expires} WHERE suite_id = {testing.id} AND gone_number IS NULL")
    assert work() == {testing.id}
    here.run()
    # Accepted before the hold, because an upload would lift the hold.
    here.upload(binary("other"))
    here.hold(None, "stable")
    here.run("process-accepted")
    assert work() == set()
    here.upload(binary("third"), suite="testing")
    here.run("process-accepted")
    assert work() == {testing.id}


def test_a_newer_version_leaves_the_suites_of_another_archive_as_they_are(
    here: Shop, there: Shop
) -> None:
    for to in (here, there):
        to.upload(binary("hello"))
        to.run()
    here.upload(binary("hello", "2.0-1"))
    here.run()
    assert here.names() == ["hello 2.0-1"]
    dirty = "SELECT count(*) FROM suites WHERE dirty_since IS NOT NULL"
    assert select(here.database, dirty) == [(0,)]


def test_unlisted_changes_are_found_only_in_the_given_suites(here: Shop, there: Shop) -> None:
    for to in (here, there):
        for suite in ("stable", "testing"):
            for name in ("leaves", "stays"):
                to.upload(binary(f"{name}-{suite}"), suite=suite)
        to.run()
        with to.database.begin() as conn:
            found = packages.list_package_publications(conn, to.archive.id, limit=10)
            for each in found:
                if each.package.startswith("leaves"):
                    packages.delete_package_publication(conn, to.archive.id, each.id, "ada", "gone")
    with here.database.connect() as conn:
        for each_suite in (*here.archive.suites, *there.archive.suites):
            [changed] = packages.unlisted(conn, [each_suite.id])
            assert changed.suite_id == each_suite.id
            assert f"leaves-{each_suite.name}" in changed.path


def test_a_run_reaps_no_generation_of_another_archive(here: Shop, there: Shop) -> None:
    here.change(retention_seconds=0)
    for version in ("4.0", "5.0", "6.0"):
        for each in (there, here):
            each.upload(binary("hello", version))
            each.run()
    states = """
        SELECT g.state FROM dists_generations g JOIN apt_archives a ON a.id = g.archive_id
        WHERE a.name = :name ORDER BY g.number"""
    found = {
        each.name: [state for (state,) in select(here.database, states, name=each.name)]
        for each in (here, there)
    }
    assert found == {
        here.name: ["reaped", "reaped", "live"],
        there.name: ["retired", "retired", "live"],
    }
