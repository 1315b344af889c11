"""The Release file, byte for byte."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import Invalid
from staging_api.publishing.release import Release, ReleaseFile, by_hash_path, release_text
from staging_api.publishing.releasing import expires

RELEASE = Release(
    suite="stable",
    codename="harbour",
    date=datetime(2026, 11, 1, 8, 5, 3, tzinfo=UTC),
    architectures=["i386", "amd64"],
    components=["main", "contrib"],
    files=[
        ReleaseFile("main/source/Sources", 0, "e" * 64),
        ReleaseFile("main/binary-amd64/Packages.gz", 12, "a" * 64),
    ],
    origin="Example",
    label="Staged",
    description="What was staged",
)


def test_every_byte() -> None:
    assert release_text(RELEASE).decode() == (
        "Origin: Example\n"
        "Label: Staged\n"
        "Suite: stable\n"
        "Codename: harbour\n"
        "Date: Sun, 01 Nov 2026 08:05:03 UTC\n"
        "Acquire-By-Hash: yes\n"
        "Architectures: amd64 i386\n"
        "Components: main contrib\n"
        "Description: What was staged\n"
        "SHA256:\n"
        f" {'a' * 64} 12 main/binary-amd64/Packages.gz\n"
        f" {'e' * 64} 0 main/source/Sources\n"
    )


def test_dates_are_utc_wherever_they_come_from() -> None:
    there = RELEASE.date.astimezone(timezone(timedelta(hours=-11)))
    assert release_text(replace(RELEASE, date=there)) == release_text(RELEASE)


def test_the_expiry_counts_from_the_date() -> None:
    text = release_text(replace(RELEASE, valid_for=timedelta(days=7))).decode()
    assert "\nValid-Until: Sun, 08 Nov 2026 08:05:03 UTC\n" in text


def test_optional_fields_are_left_out() -> None:
    text = release_text(replace(RELEASE, origin="", acquire_by_hash=False)).decode()
    assert "Origin" not in text
    assert "By-Hash" not in text
    assert "NotAutomatic" not in text


def test_a_suite_that_installs_only_on_request() -> None:
    release = replace(RELEASE, not_automatic=True, but_automatic_upgrades=True)
    assert "\nNotAutomatic: yes\nButAutomaticUpgrades: yes\n" in release_text(release).decode()


@pytest.mark.parametrize(
    "release",
    [
        replace(RELEASE, origin="x\nSHA256:"),
        replace(RELEASE, suite="x\rSHA256:"),
        replace(RELEASE, components=["main", "x\nSHA256:"]),
        replace(RELEASE, description="\u2028"),
    ],
)
def test_a_value_cannot_write_further_fields(release: Release) -> None:
    with pytest.raises(Invalid, match="line break"):
        release_text(release)


def test_where_a_file_lies_by_its_hash() -> None:
    path = by_hash_path("main/binary-amd64/Packages.gz", "a" * 64)
    assert path == f"main/binary-amd64/by-hash/SHA256/{'a' * 64}"
    assert by_hash_path("Release", "b" * 64) == f"by-hash/SHA256/{'b' * 64}"


@pytest.mark.parametrize(
    ("valid_for", "left", "is_over"),
    [
        (3600, 1801, False),
        (3600, 1800, False),
        (3600, 1799, True),
        (3600, None, False),
        (None, 1, False),
        (None, None, False),
    ],
)
def test_a_release_expires_when_more_than_half_of_its_time_is_over(
    valid_for: int | None, left: int | None, is_over: bool
) -> None:
    now = RELEASE.date
    until = None if left is None else now + timedelta(seconds=left)
    archive: Any = SimpleNamespace(valid_for_seconds=valid_for)
    before: Any = SimpleNamespace(valid_until=until)
    assert expires(archive, before, now) is is_over
