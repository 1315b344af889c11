"""One set of rules: whatever the API accepts can be published, from the body to the InRelease."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from staging_api.db.engine import Database, open_database
from staging_api.errors import Conflict, Invalid
from staging_api.http.archive_bodies import ArchiveChange, ArchiveRequest, SuiteChange
from staging_api.publishing import rows
from tests.apt_archive_series import fake_signature, keys_in
from tests.databases import Migrated
from tests.publisher import Shop, find, shop

#: Text of all that JSON can say; and what has to do with lines, blanks and fields.
LINES = st.text(max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\xa0",
        "a\xa0b",
        "a\u2028b",
        "a\nSHA256:",
        "a\rb",
        "\x85",
        "- x",
        "\u200d",
        "é",
        "\ufeff",
    ]
)
NAMES = st.from_regex(r"[a-z0-9A-Z][a-z0-9A-Z.+~_-]{0,5}", fullmatch=True) | st.sampled_from(
    ["..", "a/b", "by-hash", "Release", "-x", "stable", "testing", "a\n"]
)
WORDS = ["main", "contrib", "source", "by-hash", "debian-installer", "binary-amd64", "dists"]
ARCHITECTURES = ["amd64", "arm64", "kfreebsd-amd64", "x32"]


def mostly(right: list[str], *wrong: str) -> st.SearchStrategy[list[str]]:
    """Lists of right words; one in four may have anything."""
    good = st.lists(st.sampled_from(right), min_size=1, max_size=3, unique=True)
    anything = st.lists(st.sampled_from([*right, *wrong]), max_size=3)
    return st.one_of(good, good, good, anything)


SUITE = st.fixed_dictionaries(
    {},
    optional={
        "codename": NAMES,
        "aliases": st.lists(NAMES, max_size=2, unique=True),
        "description": LINES,
        "components": mostly(WORDS, "Main", "a_b", ""),
        "architectures": mostly(ARCHITECTURES, "all", "any", "source", "linux-any", "x y"),
        "not_automatic": st.booleans(),
        "but_automatic_upgrades": st.booleans(),
    },
)
ARCHIVE = st.fixed_dictionaries(
    {},
    optional={
        "origin": LINES,
        "label": LINES,
        "forms": mostly(["plain", "gz", "xz", "zst"], "bz2"),
        "publish_by_hash": st.booleans(),
        "advertise_by_hash": st.booleans(),
        "valid_for_seconds": st.none() | st.integers(60, 10**7),
        "retention_seconds": st.integers(0, 10**7),
    },
)


@pytest.fixture(scope="module")
def records(migrated: Migrated) -> Iterator[tuple[str, Database]]:
    """A database of this module: its store is another than that of the tests beside."""
    with migrated() as url:
        pools = open_database(url, pool_size=8)
        yield url, pools
        pools.close()


@pytest.fixture(scope="module")
def here(records: tuple[str, Database], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("door")
    url, pools = records
    with shop(pools, url, folder) as made:
        builder = made.publisher.builder
        releaser = replace(builder.releaser, key=keys_in(folder)[1], sign=fake_signature)
        made.publisher = replace(made.publisher, builder=replace(builder, releaser=releaser))
        yield made


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(archive=ARCHIVE, suite=SUITE, other=SUITE)
def test_everything_the_api_accepts_can_be_published(
    here: Shop, archive: dict[str, Any], suite: dict[str, Any], other: dict[str, Any]
) -> None:
    try:
        ArchiveRequest.model_validate({"name": "a", **archive})
        changed = ArchiveChange.model_validate(archive).model_dump(exclude_unset=True)
        suites = {
            name: SuiteChange.model_validate(values).model_dump(exclude_unset=True)
            for name, values in (("stable", suite), ("testing", other))
        }
    except ValidationError:
        return
    name = f"door-{next(NUMBERS)}"
    own = replace(here, name=name)
    own.set_up({"stable": {}, "testing": {}})
    try:
        own.change(**changed)
        for called, values in suites.items():
            own.change(called, **values)
    except (Conflict, Invalid):
        event("refused by what is there")
        return
    event("accepted")
    assert own.run().state == "succeeded"
    for each in own.archive.suites:
        release = own.served(f"dists/{each.name}/Release").decode()
        fields = dict(line.split(": ", 1) for line in release.split("\nSHA256:")[0].split("\n"))
        fields = {"Label": own.archive.label, "Origin": own.archive.origin}
        fields |= {"Description": each.description, "Suite": each.name, "Codename": each.codename}
        fields |= {"Components": " ".join(each.components)}
        fields |= {"Architectures": " ".join(each.architectures)}
        for field, value in fields.items():
            assert fields.get(field, "") == value
        for served in (each.name, *each.aliases, each.codename):
            signed = find(own.database, f"dists/{served}/InRelease", archive=name)
            assert signed is not None, served


NUMBERS = iter(range(10**9))


def test_a_request_can_name_only_what_exists(here: Shop) -> None:
    with here.database.connect() as conn:
        for name in rows.apt_archive_names(conn):
            ArchiveRequest.model_validate({"name": name})
