"""Errors: their codes, details and further fields."""

from datetime import UTC, datetime

import pytest

from staging_api.errors import (
    FieldError,
    Invalid,
    LockHeld,
    NoSpace,
    NotFound,
    StagingApiError,
    StoreFailed,
    class_of,
)


def test_an_error_says_its_detail_and_keeps_what_else_is_told() -> None:
    error = NotFound("it is gone", retry_after_seconds=3, extra={"help": 7, "staging_id": "s"})
    assert str(error) == error.detail == "it is gone"
    assert error.retry_after_seconds == 3
    assert (error.help, error.staging_id, error.request_id) == ("7", "s", None)
    assert NotFound("by itself").extra == {}
    assert str(Invalid("it is wrong", [FieldError("a", "is wrong")])) == "it is wrong"


@pytest.mark.parametrize("retryable", [True, False])
def test_a_lack_of_space_keeps_it_as_any_error_does(retryable: bool) -> None:
    error = NoSpace("full", retryable=retryable, retry_after_seconds=3, extra={"lock": "l"})
    assert str(error) == error.detail == "full"
    assert (error.retryable, error.retry_after_seconds) == (retryable, 3)
    assert error.extra == {"lock": "l"}


def test_a_code_is_that_of_the_error_which_has_it() -> None:
    for kind in (NotFound, NoSpace, StoreFailed):
        assert class_of(kind.code) is kind
    assert class_of("teapot") is StagingApiError


@pytest.mark.parametrize("wrong", ["soon", "2026-13-01T00:00:00Z", 7, [], {}])
def test_a_lock_whose_times_cannot_be_read_is_a_lock_without_them(wrong: object) -> None:
    told = {"kind": "archive", "scope": "s", "id": 7, "acquired_at": wrong, "expires_at": wrong}
    lock = LockHeld("held", extra={"lock": {**told, "expires_in_seconds": "soon"}}).lock
    assert lock is not None
    assert (lock.kind, lock.scope, lock.id) == ("archive", "s", "7")
    assert (lock.acquired_at, lock.expires_at, lock.expires_in_seconds) == (None, None, None)


def test_the_times_of_a_lock_are_read_as_texts_and_as_they_are() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    told = {"acquired_at": "2026-01-02T00:00:00Z", "expires_at": at, "expires_in_seconds": 2}
    lock = LockHeld("held", extra={"lock": told}).lock
    assert lock is not None
    assert (lock.acquired_at, lock.expires_at, lock.expires_in_seconds) == (at, at, 2)
