"""Minidumps: the symbols that a dump needs, also with malformed contents."""

from pathlib import Path

import pytest

from staging_api.errors import Invalid
from staging_api.formats.minidump import Module, modules
from tests.minidumps import Loaded, elf, minidump, pdb

GUID = bytes.fromhex("33221100554477668899aabbccddeeff")


def read(tmp_path: Path, dump: bytes) -> list[Module]:
    path = tmp_path / "dump"
    path.write_bytes(dump)
    return modules(path)


def test_a_library_of_linux_is_filed_by_the_first_16_bytes_of_its_build_id(tmp_path):
    (found,) = read(tmp_path, minidump([elf("/usr/lib/libc.so.6", GUID + b"more")]))
    assert found == Module("libc.so.6", "00112233445566778899AABBCCDDEEFF0")
    assert found.symbol_path == "libc.so.6/00112233445566778899AABBCCDDEEFF0/libc.so.6.sym"


def test_a_short_build_id_is_filled_up_with_zeros(tmp_path):
    (found,) = read(tmp_path, minidump([elf("/bin/init", GUID[:8])]))
    assert found.debug_id == "00112233445566770000000000000000" + "0"


def test_a_pdb_is_filed_by_its_own_name_with_its_age_in_hexadecimal(tmp_path):
    (found,) = read(tmp_path, minidump([pdb("C:\\a.exe", GUID, 26, "c:\\out\\app.pdb")]))
    assert found == Module("app.pdb", "00112233445566778899AABBCCDDEEFF1A")
    assert found.symbol_path.endswith("/app.sym")


def test_modules_without_an_identifier_or_a_name_are_passed_over(tmp_path):
    dump = minidump([Loaded("/a", b""), Loaded("/b", b"????"), elf("/..", GUID), elf("", GUID)])
    assert read(tmp_path, dump) == []


@pytest.mark.parametrize("dump", [b"", b"MDMP", b"PK\x03\x04" + bytes(60)])
def test_other_files_than_minidumps_are_refused(tmp_path, dump):
    with pytest.raises(Invalid, match="minidump"):
        read(tmp_path, dump)


def test_a_dump_that_was_cut_anywhere_is_refused_or_read_as_far_as_it_goes(tmp_path):
    whole = minidump([elf("/lib/a.so", GUID), pdb("b", GUID, 1, "b.pdb")])
    for length in range(len(whole)):
        try:
            found = read(tmp_path, whole[:length])
        except Invalid:
            continue
        assert len(found) <= 2


def test_a_dump_that_claims_endless_modules_costs_no_more_than_it_has(tmp_path):
    dump = bytearray(minidump([elf("/lib/a.so", GUID)]))
    at = 32 + 2 * 12
    dump[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(Invalid):
        read(tmp_path, bytes(dump))
