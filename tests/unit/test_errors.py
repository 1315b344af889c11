"""What an error keeps of the answer that it is, or becomes."""

import pytest

from staging_api.errors import (
    FieldError,
    Invalid,
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
