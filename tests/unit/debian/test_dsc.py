"""Source packages: the signed part of a .dsc counts, and files are checked by their digests."""

import hashlib
from collections.abc import Iterator

import pytest

from staging_api.debian.dsc import SourceFile, check_files, read_dsc
from staging_api.debian.errors import FormatError
from tests.packages import clearsigned, dsc, source_file

TARBALL = source_file("hello_1.0.orig.tar.gz", b"upstream")
CHANGES = source_file("hello_1.0-1.debian.tar.xz", b"debian")
TEXT = dsc([TARBALL, CHANGES])


def test_a_plain_dsc_is_read() -> None:
    source = read_dsc(TEXT.encode())
    assert (source.package, source.version.text) == ("hello", "1.0-1")
    assert source.files == (TARBALL, CHANGES)
    assert source.dsc == source_file("hello_1.0-1.dsc", TEXT.encode())
    assert not source.clearsigned


def test_a_clearsigned_dsc_gives_the_same_text_and_its_own_hash() -> None:
    raw = clearsigned(TEXT).encode()
    signed, plain = read_dsc(raw), read_dsc(TEXT.encode())
    assert (signed.control, signed.clearsigned) == (plain.control, True)
    assert signed.dsc.sha256 == hashlib.sha256(raw).hexdigest()


def test_the_escape_of_a_clearsigned_line_is_undone() -> None:
    raw = clearsigned(TEXT).replace("Binary: ", "- Binary: ").encode()
    assert read_dsc(raw).control == read_dsc(TEXT.encode()).control


def test_files_that_match_pass_and_others_do_not_matter() -> None:
    found = {file.name: file for file in (TARBALL, CHANGES, source_file("other", b""))}
    check_files(read_dsc(TEXT.encode()), found)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([TARBALL], "hello_1.0-1.debian.tar.xz is listed in hello_1.0-1.dsc and is missing"),
        ([TARBALL, source_file(CHANGES.name, b"Debian")], "hello_1.0-1.debian.tar.xz differs"),
        ([SourceFile(TARBALL.name, 9, TARBALL.sha256), CHANGES], "orig.tar.gz differs"),
    ],
)
def test_files_that_do_not_match_are_refused(found: list[SourceFile], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        check_files(read_dsc(TEXT.encode()), {file.name: file for file in found})


def longest() -> str:
    """Return a .dsc of the maximum size."""
    return f"{TEXT}X-Long: ".ljust(4 << 20, "x")


def of_files(count: int) -> str:
    """Return a .dsc that lists this many files."""
    return dsc([source_file(f"hello_{number}.tar", b"") for number in range(count)])


def test_a_dsc_may_be_long_and_list_many_files() -> None:
    assert read_dsc(longest().encode()).files == (TARBALL, CHANGES)
    assert len(read_dsc(of_files(1000).encode()).files) == 1000
    (file,) = read_dsc(dsc([source_file("hello_".ljust(255, "x"), b"")]).encode()).files
    assert len(file.name) == 255


def hostile() -> Iterator[tuple[str, str]]:
    signed = clearsigned(TEXT)
    yield "not one clearsigned text", signed + "Source: other\n"
    yield "not one clearsigned text", signed + signed
    yield "not one clearsigned text", signed.replace("-----BEGIN PGP SIGNATURE", "-----BEGIN X")
    yield "wrong or repeated line", "Source: other\n\n" + signed
    yield "wrong or repeated line", clearsigned(TEXT + "\nPackage: stowaway")
    yield "wrong or repeated line", clearsigned(TEXT + "Source: other")
    yield "Source: the field is missing", TEXT.replace("Source:", "X-Source:")
    yield "Format: '9.9'", TEXT.replace("3.0 (quilt)", "9.9")
    yield "not a Debian version", dsc([TARBALL], version="../1")
    yield "not a package name", dsc([TARBALL], package="../hello")
    yield "Checksums-Sha256: the field is missing", dsc([])
    yield "Checksums-Sha256: not one line", dsc([TARBALL, TARBALL])
    yield "Checksums-Sha256: not one line", TEXT.replace(TARBALL.sha256, "0" * 40)
    yield "Checksums-Sha256: not one line", TEXT.replace(" 8 hello", " -8 hello")
    yield "Checksums-Sha256: not one line", TEXT.replace("orig.tar.gz", "orig tar.gz")
    yield "can not be the name of a file", dsc([source_file("hello_../../x", b"")])
    yield "can not be the name of a file", dsc([source_file("../hello_1.0.orig.tar.gz", b"")])
    yield (
        "['other_1.0.orig.tar.gz'] is not a file",
        dsc([source_file("other_1.0.orig.tar.gz", b"")]),
    )
    yield "['hello_1.0-1.dsc'] is not a file", dsc([source_file("hello_1.0-1.dsc", b"")])
    yield "can not be the name of a file", dsc([source_file("hello_".ljust(256, "x"), b"")])
    yield "more than 4194304 bytes", longest() + "x"
    yield "Checksums-Sha256: not one line", of_files(1001)


@pytest.mark.parametrize(("reason", "text"), list(hostile()))
def test_a_hostile_dsc_is_refused_with_its_reason(reason: str, text: str) -> None:
    with pytest.raises(FormatError) as refusal:
        read_dsc(text.encode())
    assert reason in str(refusal.value)
