"""Real apt while an archive is in trouble: no update fails, and each sees the decided state."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apt import Apt
from tests.troubled_archive import MEANWHILE, holds_what_was_decided, troubled_updates
from tests.two_keys import Keys, two_keys

pytestmark = pytest.mark.system


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path / "client")


@pytest.fixture
def keys(own_url: str, tmp_path: Path) -> Iterator[Keys]:
    with two_keys(own_url, tmp_path) as made:
        yield made


# Updates with publishes during each, then a pod that finishes its running work.
@pytest.mark.timeout(400)
def test_no_update_fails_beside_a_new_key_a_rollback_and_a_deleted_source(
    apt: Apt, keys: Keys
) -> None:
    # Two updates in each state of the archive.
    troubled = troubled_updates(apt, keys, count=10, packages=50)
    assert troubled.failed == []
    assert troubled.generations >= MEANWHILE * 10
    holds_what_was_decided(troubled)


@pytest.mark.prove
@pytest.mark.timeout(7200)
def test_a_thousand_updates_succeed_beside_a_new_key_a_rollback_and_a_deleted_source(
    apt: Apt, keys: Keys
) -> None:
    count = int(os.environ.get("STAGING_TEST_UPDATES", "1000"))
    troubled = troubled_updates(apt, keys, count=count, packages=500)
    assert troubled.failed == []
    assert troubled.generations >= MEANWHILE * count
    holds_what_was_decided(troubled)
