"""Container files: ours unpacked as by tar, unzip and libarchive; hostile ones refused."""

import pytest

from staging_api.errors import ArchiveUnsafe
from staging_api.formats import tar
from staging_api.formats import zip as unzip
from tests.archives import InMemory, unpack_noting
from tests.corpus import families, tars, zips

CASES = {
    **{f"tar: {case.name}": (tar.extract, case) for case in (*tars.CASES, *families.TARS)},
    **{f"zip: {case.name}": (unzip.extract, case) for case in (*zips.CASES, *families.ZIPS)},
}
HOSTILE = {
    **{f"tar: {name}": (tar.extract, data) for name, data in tars.HOSTILE.items()},
    **{f"zip: {name}": (unzip.extract, data) for name, data in zips.HOSTILE.items()},
}


@pytest.mark.parametrize("name", CASES)
def test_an_odd_archive_is_unpacked_as_common_tools_unpack_it(name):
    extract, case = CASES[name]
    files, _, notes = unpack_noting(extract, InMemory(case.data, 1 << 12), case.selects)
    assert files == case.files
    assert len(notes) == bool(case.note)
    assert case.note in "".join(notes)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(name):
    extract, data = HOSTILE[name]
    with pytest.raises(ArchiveUnsafe) as refused:
        unpack_noting(extract, InMemory(data))
    assert refused.value.detail.isprintable()
    assert "\x1b" not in refused.value.detail
