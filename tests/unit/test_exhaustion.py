"""Errors that mean a shortage of threads, descriptors or memory."""

import errno

import pytest

from staging_api.errors import Unavailable
from staging_api.exhaustion import is_exhaustion, named_lack, startup_errors

SCARCE = [
    *(OSError(number, "x") for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)),
    MemoryError(),
    RuntimeError("can't start new thread"),
]
OTHER = [
    OSError(errno.ENOENT, "x"),
    OSError("can't start new thread"),
    RuntimeError("a fault of ours"),
    ValueError("can't start new thread"),
]


@pytest.mark.parametrize("error", SCARCE, ids=repr)
def test_what_the_system_lacks_passes(error: Exception) -> None:
    assert is_exhaustion(error)


@pytest.mark.parametrize("error", OTHER, ids=repr)
def test_other_errors_are_no_exhaustion(error: Exception) -> None:
    assert not is_exhaustion(error)


@pytest.mark.parametrize("error", [*SCARCE, OSError(errno.ENOSPC, "disk full")], ids=repr)
def test_what_the_system_refuses_at_the_start_is_said(error: Exception) -> None:
    with pytest.raises(Unavailable, match="cannot start") as refused, startup_errors():
        raise error
    assert str(error) in refused.value.detail
    assert refused.value.__cause__ is error


def test_a_fault_of_ours_at_the_start_stays_one() -> None:
    with pytest.raises(RuntimeError, match="of ours"), startup_errors():
        raise RuntimeError("a fault of ours")


@pytest.mark.parametrize(
    ("error", "word", "seconds"),
    [
        (OSError(errno.ENOSPC, "x"), "disk", 10),
        (OSError(errno.EDQUOT, "x"), "disk", 10),
        (MemoryError(), "memory", 2),
        (OSError(errno.EMFILE, "x"), "descriptor", 2),
    ],
    ids=repr,
)
def test_what_is_lacking_is_named_and_when_to_come_again(
    error: Exception, word: str, seconds: int
) -> None:
    lack = named_lack(error)
    assert lack is not None
    assert word in lack.detail
    assert lack.retry_after_seconds == seconds
    assert named_lack(ValueError("x")) is None
