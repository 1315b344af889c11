"""Advice in the last line of a failed verb."""

import pytest

from staging_api.cli.cures import cure_of
from staging_api.errors import SourceFailed, SourceRefused


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (SourceFailed("x"), "try again later"),
        (SourceFailed("x", retryable=False), "the same would happen again"),
        # The error's detail names the cause, which is not always a credential.
        (SourceRefused("x"), ""),
    ],
)
def test_a_final_error_has_no_advice_to_retry(error: SourceFailed, cure: str) -> None:
    assert cure_of(error)[: len(cure) or None] == cure
