"""Credentials that cannot be checked: counted by cause, and not all logged."""

import logging

import pytest

from staging_api import metrics
from staging_api.identity.outage import OutageCause, cannot_check


def counted() -> dict[str, float]:
    """Return the number of such credentials so far, by cause."""
    return {each: metrics.IDENTITY_UNAVAILABLE.labels(each)._value.get() for each in OutageCause}


def test_each_is_counted_by_its_cause_and_one_of_a_cause_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("staging_api.identity.outage._logged_at", {})
    before = counted()
    with caplog.at_level(logging.WARNING):
        for cause in (OutageCause.TIMEOUT, OutageCause.TIMEOUT, OutageCause.FILE):
            error = cannot_check(cause, f"because of {cause}", 7)
            assert (error.cause, error.detail) == (cause, f"because of {cause}")
            assert error.retry_after_seconds == 7
    more = {cause: value - before[cause] for cause, value in counted().items()}
    assert more == {**dict.fromkeys(OutageCause, 0), OutageCause.TIMEOUT: 2, OutageCause.FILE: 1}
    assert [each.getMessage().partition(": ")[2] for each in caplog.records] == [
        "because of timeout",
        "because of file",
    ]
