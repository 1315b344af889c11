"""Changes of index files by unlisted packages."""

from datetime import UTC, datetime

import pytest

from staging_api.publishing.index_model import Unlisted
from staging_api.publishing.indices import IndexEntry
from staging_api.publishing.model import Suite
from staging_api.publishing.places import IndexPlace, changes_in, places_of

OLD, NEW = IndexEntry(b"hello", b"old"), IndexEntry(b"hello", b"new")


def package(architecture: str | None, *, shown: bool = True, installer: bool = False) -> Unlisted:
    return Unlisted(
        control="",
        source_release_id=None,
        path="",
        size_bytes=0,
        sha256="",
        suite_id=1,
        id=1,
        since=datetime.now(UTC),
        shown=shown,
        component="main",
        architecture=architecture,
        installer=installer,
    )


def test_a_package_that_goes_and_comes_again_is_there() -> None:
    goes, comes = (package("amd64", shown=shown) for shown in (False, True))
    place = IndexPlace("main", "amd64")
    for entries in ([(goes, OLD), (comes, NEW)], [(comes, NEW), (goes, OLD)]):
        assert changes_in(place, entries) == {b"hello": NEW}
    assert changes_in(place, [(goes, OLD)]) == {b"hello": None}
    assert changes_in(IndexPlace("main", "arm64"), [(comes, NEW)]) == {}


@pytest.mark.parametrize(
    ("listed", "architecture"),
    [
        ({"amd64"}, "amd64"),
        ({"amd64", "arm64"}, "all"),
        ({""}, None),
        (set(), "riscv64"),
    ],
)
def test_a_package_is_listed_in_places_of_its_kind(
    listed: set[str], architecture: str | None
) -> None:
    for installer in (False, True):
        places = [
            IndexPlace(component, each, kind)
            for component in ("main", "contrib")
            for each in ("amd64", "arm64", "")
            for kind in (False, True)
        ]
        found = [p for p in places if p.lists(package(architecture, installer=installer))]
        assert {p.architecture for p in found} == listed
        assert len(found) == len(listed)
        assert all((p.component, p.installer) == ("main", installer) for p in found)


def test_sources_are_listed_once_for_each_component_and_packages_for_each_architecture() -> None:
    suite = Suite(
        id=1,
        name="stable",
        codename="stable",
        aliases=(),
        description="",
        components=("main", "contrib"),
        architectures=("amd64", "arm64"),
        immutable=False,
        auto_accept=True,
        not_automatic=False,
        but_automatic_upgrades=False,
        dirty_since=None,
        rebuild_since=None,
    )
    plain = [
        IndexPlace(component, architecture)
        for component in ("main", "contrib")
        for architecture in ("amd64", "arm64", "")
    ]
    assert places_of(suite, installer=False) == plain
    of_installer = {IndexPlace(p.component, p.architecture, True) for p in plain if p.architecture}
    both = places_of(suite, installer=True)
    assert (len(both), set(both)) == (10, {*plain, *of_installer})
    assert plain[0].path == "main/binary-amd64/Packages"
    assert plain[2].path == "main/source/Sources"
