"""Compressed forms: what they unpack to is bounded in each, and whole at each size."""

import pytest

from staging_api.debian.errors import FormatError
from staging_api.debian.forms import Form, pack, unpack

#: What one call of a decoder gives at most.
PIECE = 1 << 20


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_as_many_bytes_as_the_limit_says_are_unpacked_and_no_more(form: Form, size: int) -> None:
    """Where a piece ends with the stream, no decoder asks for more behind it."""
    packed = pack(form, bytes(size))
    assert unpack(form, packed, size) == bytes(size)
    with pytest.raises(FormatError, match=f"unpacks to more than {size - 1} bytes"):
        unpack(form, packed, size - 1)
