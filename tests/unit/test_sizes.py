"""Sizes: human-readable format, and the message about missing space."""

import pytest

from staging_api.errors import NoSpace
from staging_api.sizes import size


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, ""),
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_900_000, "999.9 MB"),
        (1e9, "1.0 GB"),
        (1e12, "1.0 TB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_a_size_has_the_largest_unit_of_which_it_has_one(count: float | None, shown: str) -> None:
    assert size(count) == shown


def test_a_lack_of_space_may_pass_unless_it_never_can() -> None:
    assert NoSpace("full just now").retryable
    assert not NoSpace("never", retryable=False).retryable
