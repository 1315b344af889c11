"""Packages that a run supersedes because of a change, and when their files may be deleted."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.rows import apt_archives, packages
from tests.factories import ORIGIN
from tests.packages import control_text, deb
from tests.publisher import DAY, Shop, find, shop
from tests.rows import select


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up()
        yield made


def part(name: str, version: str, architecture: str, source: str = "suite") -> bytes:
    """Return one binary package, in a version, of a source with several binaries."""
    text = control_text(name, version, architecture, Source=f"{source} ({version})")
    return deb(text, Form.GZ, holds=name)


def states(here: Shop, suite: str = "stable") -> dict[str, str]:
    """Return the state of each package of a suite, by name and version."""
    with here.database.connect() as conn:
        found = packages.list_package_publications(conn, here.archive.id, limit=1000, suite=suite)
    return {f"{each.package} {each.version}": each.state for each in found}


def delete(here: Shop, package: str) -> None:
    with here.database.begin() as conn:
        archive = apt_archives.find_apt_archive(conn, here.name)
        (found,) = packages.list_package_publications(
            conn, archive.id, limit=2, package=package, state="published"
        )
        packages.delete_package_publication(conn, archive.id, found.id, "ada", "a mistake")


def test_a_package_for_all_leaves_with_the_last_one_for_whose_sake_it_stayed(here: Shop) -> None:
    here.upload(part("doc", "1.0", "all"), part("tool", "1.0", "amd64"))
    here.run()
    here.upload(part("doc", "2.0", "all"))
    here.run()
    assert states(here)["doc 1.0"] == "published"
    here.upload(part("tool", "2.0", "amd64"))
    here.run()
    assert states(here)["doc 1.0"] == "superseded"
    assert here.names() == ["doc 2.0", "tool 2.0"]


def test_a_package_for_all_leaves_with_a_deleted_one_for_whose_sake_it_stayed(here: Shop) -> None:
    here.upload(part("doc", "1.0", "all"), part("tool", "1.0", "amd64"))
    here.run()
    here.upload(part("doc", "2.0", "all"))
    here.run()
    delete(here, "tool")
    here.run()
    assert states(here) == {"doc 1.0": "superseded", "doc 2.0": "published", "tool 1.0": "deleted"}
    assert here.names() == ["doc 2.0"]


def test_what_changes_in_one_suite_supersedes_nothing_in_another(here: Shop) -> None:
    with here.database.begin() as conn:
        parts = {"components": ["main"], "architectures": ["amd64"]}
        apt_archives.add_suite(
            conn, here.archive, {"name": "testing", "codename": "testing", **parts}
        )
    here.upload(part("tool", "1.0", "amd64"), part("doc", "1.0", "all"))
    here.upload(part("tool", "1.0", "amd64"), part("doc", "1.0", "all"), suite="testing")
    here.run()
    here.upload(part("tool", "2.0", "amd64"), suite="testing")
    here.run()
    assert set(states(here).values()) == {"published"}
    assert states(here, "testing")["tool 1.0"] == "superseded"
    assert here.names() == ["doc 1.0", "tool 1.0"]


def leaves_at(here: Shop, package: str) -> list[tuple[Any, ...]]:
    """Return the days until files of ended packages may be deleted; null: not decided yet."""
    return select(
        here.database,
        "SELECT round(extract(epoch FROM p.scheduled_deletion_at - clock_timestamp()) / 86400)"
        " FROM package_publications p JOIN suites s ON s.id = p.suite_id"
        " WHERE s.archive_id = :archive AND p.package = :package AND p.ended_at IS NOT NULL",
        archive=here.archive.id,
        package=package,
    )


def test_a_superseded_file_waits_for_its_quarantine_and_a_deleted_one_does_not(here: Shop) -> None:
    here.change(quarantine_seconds=3 * DAY)
    here.add("gone", "old")
    here.run()
    delete(here, "gone")
    here.add("old", version="2.0")
    here.run()
    assert (leaves_at(here, "gone"), leaves_at(here, "old")) == ([(0,)], [(3,)])


def test_a_deleted_package_leaves_something_to_do_in_its_suite_alone(here: Shop) -> None:
    with here.database.begin() as conn:
        values = {"name": "testing", "codename": "testing", "components": ["main"]}
        apt_archives.add_suite(conn, here.archive, {**values, "architectures": ["amd64"]})
    here.add("hello")
    here.upload(part("hello", "1.0", "amd64"), suite="testing")
    here.run()
    service = AptArchiveService(here.database)
    (one,) = service.packages(here.name, limit=9, suite="stable").items
    assert service.delete_package(here.name, one.id, "ada", "a mistake").state == "deleted"
    assert [suite.name for suite in here.archive.suites if suite.dirty_since] == ["stable"]


def test_the_run_of_an_archive_decides_on_no_file_of_another(here: Shop) -> None:
    other = replace(here, name="other")
    other.set_up(quarantine_seconds=5 * DAY)
    for each in (here, other):
        each.add("hello")
        each.run()
    delete(other, "hello")
    here.add("hello", version="2.0")
    here.run()
    assert leaves_at(other, "hello") == [(None,)]
    assert leaves_at(here, "hello") == [(1,)]


def test_the_head_is_the_newest_generation_in_which_no_suite_was_held(here: Shop) -> None:
    with here.database.begin() as conn:
        parts = {"components": ["main"], "architectures": ["amd64"]}
        apt_archives.add_suite(
            conn, here.archive, {"name": "testing", "codename": "testing", **parts}
        )
    here.add("hello")
    here.run()
    head = here.publisher.distributions.find(here.name).head.id
    here.publisher.go_back(here.name, None, ORIGIN, suites=("stable",))
    here.upload(part("tool", "1.0", "amd64"), suite="testing")
    here.run()
    now = here.publisher.distributions.find(here.name)
    assert (now.head.id, now.live.id != head) == (head, True)
    here.publisher.lift(here.name, caller="ada")
    here.add("world")
    here.run()
    now = here.publisher.distributions.find(here.name)
    assert now.head.id == now.live.id


def test_packages_for_the_installer_come_and_go_with_the_first_and_the_last_of_them(
    here: Shop,
) -> None:
    """While none of them changes, the index files show whether there are such packages."""
    place = "dists/stable/main/debian-installer/binary-amd64/Packages.gz"
    for name in ("hello", "other"):
        here.add(name)
        here.run()
    assert find(here.database, place) is None
    here.upload(part("probe", "1.0", "amd64"), ending="udeb")
    here.run()
    assert here.served(place)
    here.add("world")
    here.run()
    assert here.served(place)
    assert not here.run(careful_indices=True).counts.get("index_files")
    delete(here, "probe")
    here.run()
    with pytest.raises(AssertionError, match="nothing at"):
        here.served(place)
    assert not here.run(careful_indices=True).counts.get("index_files")


def test_a_form_that_is_taken_away_leaves_the_others(here: Shop) -> None:
    place = "dists/stable/main/binary-amd64/Packages"
    endings = {"gz": ".gz", "xz": ".xz", "plain": ""}
    here.add("hello")
    here.run()
    # Release also lists the plain file, even where clients cannot get it.
    for forms in (["gz"], ["gz", "xz"], ["xz"], ["xz", "plain"], ["plain"]):
        here.change(forms=forms)
        assert here.run().counts["generations"] == 1
        for form, ending in endings.items():
            found = find(here.database, place + ending)
            assert (found is not None) == (form in forms), f"{form} of {forms}"
            assert found is None or here.bytes_of(found)
    here.add("world")
    here.run()
    assert re.findall(b"^Package: (.*)$", here.served(place), re.MULTILINE) == [b"hello", b"world"]
