"""Extractors on random bytes: they unpack them, or raise one of our own errors."""

import gzip
import random
import zipfile

import pytest

from staging_api.errors import StagingApiError
from staging_api.formats import tar
from staging_api.formats import zip as unzip
from staging_api.formats.model import UnpackLimits
from tests.archives import InMemory, header, streamed_zip, tar_of, unpack, zip_of

LIMITS = UnpackLimits(total_bytes=1 << 20, member_bytes=1 << 20, members=1000, header_bytes=1 << 20)
FILES = [("a.txt", b"alpha" * 50), ("d/b.bin", bytes(range(256))), ("empty", b"")]
ARCHIVES = {
    "tar": (tar.extract, tar_of(*FILES, ("x" * 120, b""), header("l", b"2", "a.txt"))),
    "tgz": (tar.extract, gzip.compress(tar_of(*FILES))),
    "zip": (unzip.extract, zip_of(*FILES)),
    "stored zip": (unzip.extract, zip_of(*FILES, method=zipfile.ZIP_STORED)),
    "streamed zip": (unzip.extract, streamed_zip(*FILES)),
}


def mutated(data, chance):
    """Return data with changed bytes, and with a piece removed, doubled or moved to the end."""
    raw = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        raw[chance.randrange(len(raw))] = chance.choice(
            [0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)]
        )
    start, end = sorted(chance.sample(range(len(raw) + 1), 2))
    how = chance.randrange(8)
    if how == 0:
        del raw[start:end]
    elif how == 1:
        raw[end:end] = raw[start:end]
    elif how == 2:
        raw += raw[start:end]
    return bytes(raw)


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_mutated_archive_is_unpacked_or_refused_in_our_words(name):
    extract, data = ARCHIVES[name]
    chance, refused = random.Random(name), 0
    for _ in range(1500):
        try:
            unpack(extract, InMemory(mutated(data, chance)), limits=LIMITS)
        except StagingApiError:
            refused += 1
    assert refused > 300
