"""Domination: publications of a suite that newer ones supersede."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from staging_api.debian.version import parse_version
from staging_api.publishing.domination import (
    PublishedVersion,
    Supersession,
    dominate_binaries,
    dominate_sources,
)

BOTH = ["amd64", "arm64"]


def published(
    name: str, version: str, architecture: str = "", *, day: int = 1, installer: bool = False
) -> PublishedVersion:
    """Return a publication of the source `src` in this version, or of a binary built from it."""
    own = f"{name}/{version}/{architecture}/{day}{'/udeb' * installer}"
    return PublishedVersion(
        id=own,
        name=name,
        version_key=parse_version(version).sort_key,
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day),
        source_release=("src", version),
        architecture=architecture,
        installer=installer,
        release=own,
    )


def binaries_gone(*publications: PublishedVersion) -> set[str]:
    return {each.id for each in dominate_binaries(publications, BOTH)}


def test_the_newest_source_stays_by_version_and_not_by_date() -> None:
    old, new = published("src", "9", day=2), published("src", "10", day=1)
    assert dominate_sources([old, new]) == [Supersession(old.id, new.id)]


def test_of_equal_sources_the_one_published_last_stays() -> None:
    first, again = published("src", "1.0", day=1), published("src", "1.0-0", day=2)
    assert dominate_sources([again, first]) == [Supersession(first.id, again.id)]


def test_of_equal_publications_one_stays_in_any_order() -> None:
    twins = [published("src", "1.0"), published("src", "1.0-0")]
    assert dominate_sources(twins) == dominate_sources(twins[::-1])
    assert len(dominate_sources(twins)) == 1


def test_a_release_in_two_components_does_not_supersede_itself() -> None:
    first = published("src", "2", day=1)
    again = replace(first, id="again", created_at=first.created_at + timedelta(days=1))
    old = published("src", "1")
    assert dominate_sources([first, again, old]) == [Supersession(old.id, "again")]


def test_sources_of_other_names_do_not_meet() -> None:
    assert dominate_sources([published("src", "1"), published("other", "2")]) == []


def test_a_binary_gives_way_on_its_own_architecture_only() -> None:
    old = [published("bin", "1", architecture) for architecture in BOTH]
    assert binaries_gone(*old, published("bin", "2", "amd64")) == {old[0].id}


def test_an_old_package_for_all_stays_while_an_architecture_lags_behind() -> None:
    old_all, old_arm = published("data", "1", "all"), published("bin", "1", "arm64")
    new_all, new_amd = published("data", "2", "all"), published("bin", "2", "amd64")
    assert binaries_gone(old_all, old_arm, new_all, new_amd) == set()


def test_an_old_package_for_all_goes_when_the_last_architecture_is_built() -> None:
    old_all, old_arm = published("data", "1", "all"), published("bin", "1", "arm64")
    new = [published("data", "2", "all"), published("bin", "2", "arm64")]
    assert binaries_gone(old_all, old_arm, *new) == {old_all.id, old_arm.id}


def test_a_package_that_becomes_one_for_all_gives_way_everywhere() -> None:
    old = [published("bin", "1", architecture) for architecture in BOTH]
    assert binaries_gone(*old, published("bin", "2", "all")) == {each.id for each in old}


def test_a_package_for_all_stays_where_it_is_not_yet_built_for_one() -> None:
    old = published("bin", "1", "all")
    on_amd, on_arm = published("bin", "2", "amd64"), published("bin", "2", "arm64")
    assert binaries_gone(old, on_amd) == set()
    assert binaries_gone(old, on_amd, on_arm) == {old.id}


def test_an_old_package_for_all_that_nothing_needs_goes() -> None:
    old, new = published("data", "1", "all"), published("data", "2", "all")
    assert dominate_binaries([old, new], BOTH) == [Supersession(old.id, new.id)]


def test_packages_for_all_do_not_keep_each_other() -> None:
    """Otherwise an old release of two such packages would stay for ever once one is dropped."""
    old, dropped = published("data", "1", "all"), published("doc", "1", "all")
    assert binaries_gone(old, dropped, published("data", "2", "all")) == {old.id}


def test_installer_packages_do_not_meet_those_of_the_same_name() -> None:
    udeb = published("bin", "1", "amd64", installer=True)
    assert binaries_gone(udeb, published("bin", "2", "amd64")) == set()


def test_an_architecture_that_the_suite_does_not_have_is_left_alone() -> None:
    old, new = published("bin", "1", "s390x"), published("bin", "2", "s390x")
    assert binaries_gone(old, new) == set()


def test_the_verdict_is_stable_and_independent_of_order() -> None:
    """The remaining publications must not supersede anything in a second pass."""
    rng = random.Random(3)
    names, versions, architectures = ("bin", "data"), ("1", "1~a", "2", "10"), (*BOTH, "all")
    for _ in range(100):
        every = {
            each.id: each
            for each in (
                published(rng.choice(names), rng.choice(versions), rng.choice(architectures))
                for _ in range(8)
            )
        }
        gone = binaries_gone(*every.values())
        shuffled = rng.sample(list(every.values()), len(every))
        assert binaries_gone(*shuffled) == gone
        assert binaries_gone(*(each for each in shuffled if each.id not in gone)) == set()
