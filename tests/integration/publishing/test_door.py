"""Consistent validation: every request that the API accepts can be published, down to InRelease."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from staging_api.db.engine import Database, open_database
from staging_api.debian.forms import Form
from staging_api.errors import Conflict, Invalid
from staging_api.http.archive_bodies import (
    ArchiveChange,
    ArchiveRequest,
    SuiteChange,
    SuiteRequest,
)
from staging_api.http.bodies import Body
from staging_api.http.publisher_bodies import HoldRequest
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.index_model import WORD_OF
from staging_api.publishing.rows import apt_archives
from tests.apt_archive_series.life import fake_signature, keys_in
from tests.apt_archive_series.promises import listed_in
from tests.databases import Migrated
from tests.factories import ORIGIN
from tests.publisher import Shop, find, shop

#: Text that JSON can express, above all line breaks, blanks, field syntax and text direction.
LINES = st.text(max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\xa0",
        " \xa0a\xa0b\u3000",
        "a\u2028b",
        "a\nSHA256:",
        "a\n\nb",
        "a\rb",
        "\x85",
        "a\tb",
        "\t",
        "- x",
        "-----BEGIN PGP SIGNATURE-----",
        "\u202eabc\u202c",
        "\u05d0\u05d1",
        "\u200d",
        "\xe9",
        "e\u0301",
        "\ufeff",
        "\udc80",
        "\0",
        ": ",
        "x" * 500,
        "x" * 501,
        "\U0001f4e6" * 500,
        " " * 501,
    ]
)
Values = dict[str, Any]
NAMES = st.from_regex(r"[a-z0-9A-Z][a-z0-9A-Z.+~_-]{0,5}", fullmatch=True) | st.sampled_from(
    [
        *("..", "a/b", "a..", "by-hash", "Release", "InRelease", "-x", "stable", "testing"),
        *("Stable", "a\n", "a b", "\xe9", "@0", "a%2fb", "0~", "n" * 128, "n" * 129),
    ]
)
WORDS = ["main", "contrib", "source", "by-hash", "debian-installer", "binary-amd64", "dists"]
WORDS += ["all", "w" * 64, "0", "a-"]
ARCHITECTURES = ["amd64", "arm64", "kfreebsd-amd64", "x32", "a" * 64, "0", "binary-amd64"]
TEN_YEARS = 10 * 366 * 24 * 3600
SECONDS = st.integers(0, TEN_YEARS) | st.sampled_from(
    [-1, 0, 1, 59, 60, 61, TEN_YEARS, TEN_YEARS + 1, 2**31, 2**63, 10**12]
)


def mostly(right: list[str], *wrong: str) -> st.SearchStrategy[list[str]]:
    """Return a strategy for lists of valid words; one list in four may contain any text."""
    good = st.lists(st.sampled_from(right), min_size=1, max_size=3, unique=True)
    anything = st.lists(st.sampled_from([*right, *wrong]), max_size=3)
    return st.one_of(good, good, good, anything)


SUITE = st.fixed_dictionaries(
    {},
    optional={
        "codename": NAMES,
        "aliases": st.lists(NAMES, max_size=2, unique=True),
        "description": LINES,
        "components": mostly(WORDS, "Main", "a_b", "", "w" * 65),
        "architectures": mostly(ARCHITECTURES, "all", "any", "source", "linux-any", "x y", "A"),
        "not_automatic": st.booleans(),
        "but_automatic_upgrades": st.booleans(),
        "immutable": st.booleans(),
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
        "valid_for_seconds": st.none() | SECONDS,
        "retention_seconds": SECONDS,
        "quarantine_seconds": SECONDS,
    },
)


CHANGES: Sequence[tuple[type[Body], st.SearchStrategy[Values]]] = (
    (ArchiveChange, ARCHIVE),
    (SuiteChange, SUITE),
    (SuiteChange, SUITE),
)
NUMBERS = iter(range(10**9))


@pytest.fixture(scope="module")
def records(migrated: Migrated) -> Iterator[tuple[str, Database]]:
    """Yield a database for this module, whose store is not the one of neighbouring tests."""
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


@st.composite
def requests(draw: st.DrawFn) -> tuple[Values, list[tuple[type[Body], Values]], Values]:
    """Draw a request that creates an archive, requests that change each part, and a suite hold.

    Each field that the door refuses is left out, so that most requests are taken.
    """
    first = {"name": "stable", **allowed(SuiteRequest, draw(SUITE))}
    second = allowed(SuiteRequest, {"name": draw(NAMES), **draw(SUITE)})
    made = allowed(ArchiveRequest, {"name": f"door-{next(NUMBERS)}", **draw(ARCHIVE)})
    made["suites"] = [first, second] if "name" in second else [first]
    changes = [(body, allowed(body, draw(values))) for body, values in CHANGES]
    return made, changes, allowed(HoldRequest, {"reason": draw(LINES)})


def allowed(body: type[Body], values: Values) -> Values:
    """Return the fields of a body that validation accepts."""
    return {name: value for name, value in values.items() if is_allowed(body, name, value)}


def is_allowed(body: type[Body], name: str, value: Any) -> bool:
    others = {"name": "a"} if "name" in body.model_fields else {}
    try:
        body.model_validate({**others, name: value})
    except ValidationError:
        return False
    return True


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(asked=requests())
def test_everything_the_api_accepts_can_be_published(
    here: Shop, asked: tuple[Values, list[tuple[type[Body], Values]], Values]
) -> None:
    made, changes, hold = asked
    own, archives = replace(here, name=made["name"]), AptArchiveService(here.database)
    posted = ArchiveRequest.model_validate(made).model_dump(exclude_none=True)
    try:
        archives.create(posted, posted.pop("suites"), "ada")
    except (Conflict, Invalid):
        event("refused by what is there")
        return
    check_published(own)
    names = [suite.name for suite in own.archive.suites]
    for (body, values), suite in zip(changes, (None, *names), strict=False):
        given = body.model_validate(values).model_dump(exclude_unset=True)
        with suppress(Conflict, Invalid):
            if suite is None:
                archives.change(own.name, given, "ada")
            else:
                archives.change_suite(own.name, suite, given, "ada")
    check_published(own)
    reason = HoldRequest.model_validate(hold).reason
    own.publisher.go_back(own.name, None, ORIGIN, suites=("stable",), reason=reason)
    archives.change(own.name, {"label": "another"}, "ada")
    check_published(own)


def check_published(own: Shop) -> None:
    """Assert that a run succeeds, and that each suite's signed Release agrees with the tables."""
    assert own.run().state == "succeeded"
    archive = own.archive
    for suite in archive.suites:
        release = own.served(f"dists/{suite.name}/Release").decode()
        fields = dict(line.split(": ", 1) for line in release.split("\nSHA256:")[0].split("\n"))
        expected = {"Label": archive.label, "Origin": archive.origin}
        expected |= {"Description": suite.description}
        expected |= {"Suite": suite.name, "Codename": suite.codename}
        expected |= {"NotAutomatic": "yes" if suite.not_automatic else ""}
        if suite.held is None:
            expected |= {"Components": " ".join(suite.components)}
            expected |= {"Architectures": " ".join(sorted(suite.architectures))}
        assert {name: fields.get(name, "") for name in expected} == expected
        if archive.valid_for_seconds is not None:
            dates = [
                parsedate_to_datetime(fields[f].replace("UTC", "+0000"))
                for f in ("Date", "Valid-Until")
            ]
            assert (dates[1] - dates[0]).total_seconds() == archive.valid_for_seconds
        for path, listed in listed_in(release).items():
            form = Form(re.sub(r"^(Packages|Sources)", "", path.rpartition("/")[2]))
            if WORD_OF[form] in archive.forms:
                raw = own.served(f"dists/{suite.name}/{path}")
                assert f"{hashlib.sha256(raw).hexdigest()} {len(raw)}" == listed
        for called in (suite.name, *suite.aliases):
            signed = find(own.database, f"dists/{called}/InRelease", archive=own.name)
            assert signed is not None, called
            assert (signed.content or b"").decode().endswith(release), called
        assert find(own.database, f"dists/{suite.codename}/InRelease", archive=own.name) is not None


def test_a_request_can_name_only_what_exists(here: Shop) -> None:
    with here.database.connect() as conn:
        for name in apt_archives.apt_archive_names(conn):
            ArchiveRequest.model_validate({"name": name})
