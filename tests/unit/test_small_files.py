"""Small text files named by settings: maximum size, and refused files."""

import errno
import os

import pytest

from staging_api.small_files import read_small_file

MOST_BYTES = 16 << 20


def test_a_file_of_sixteen_mebibytes_is_read_and_one_byte_more_is_refused(tmp_path):
    path = tmp_path / "tokens"
    path.touch()
    os.truncate(path, MOST_BYTES)
    assert len(read_small_file(path)) == MOST_BYTES
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(OSError, match=f"has more than {MOST_BYTES} bytes") as refused:
        read_small_file(path)
    assert refused.value.errno == errno.EFBIG


def test_a_byte_order_mark_is_left_out_and_other_bytes_are_refused(tmp_path):
    path = tmp_path / "tokens"
    path.write_bytes(b"\xef\xbb\xbf\xc3\xa9\n")
    assert read_small_file(path) == "é\n"
    path.write_bytes(b"\xe9\n")
    with pytest.raises(OSError, match="is not text in UTF-8"):
        read_small_file(path)
