"""Compressed forms: limit of the unpacked size, and complete output at each size."""

import pytest

from staging_api.debian.errors import FormatError
from staging_api.debian.forms import Form, pack, unpack

#: Maximum output of one call of a decoder, in bytes.
PIECE = 1 << 20


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_as_many_bytes_as_the_limit_says_are_unpacked_and_no_more(form: Form, size: int) -> None:
    """If a chunk ends with the stream, no decoder may ask for more input."""
    packed = pack(form, bytes(size))
    assert unpack(form, packed, size) == bytes(size)
    with pytest.raises(FormatError, match=f"unpacks to more than {size - 1} bytes"):
        unpack(form, packed, size - 1)
