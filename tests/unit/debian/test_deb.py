"""Binary packages: valid ones are read exactly, malicious ones refused with a reason."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staging_api.debian.deb import BinaryPackage, DebLimits, read_deb
from staging_api.debian.errors import FormatError
from staging_api.debian.forms import Form, pack
from tests.packages import (
    ar,
    ar_header,
    control_tar,
    control_text,
    deb,
    deb_members,
    tar,
    tar_member,
)

TIGHT = DebLimits(
    file_bytes=1 << 20, packed_bytes=8192, unpacked_bytes=64 << 10, control_bytes=2048, members=8
)


def read(raw: bytes, limits: DebLimits = TIGHT) -> BinaryPackage:
    return read_deb(BytesIO(raw), limits)


def with_control(*members: bytes) -> bytes:
    return deb(archive=tar(members), form=Form.PLAIN)


@pytest.mark.parametrize("form", list(Form))
def test_control_is_read_word_for_word_in_every_form(form: Form) -> None:
    raw = deb(form=form)
    package = read(raw)
    assert package.control + "\n" == control_text()


def test_fields_are_taken_apart() -> None:
    package = read(deb(control_text("libx1", "2:1.0-1+b2", "all", Source="xx (1.0-1)")))
    assert (package.package, package.version.text, package.architecture) == (
        "libx1",
        "2:1.0-1+b2",
        "all",
    )
    assert (package.source, package.source_version.text) == ("xx", "1.0-1")


def test_source_defaults_to_the_package() -> None:
    package = read(deb())
    assert (package.source, package.source_version) == (package.package, package.version)


@pytest.mark.parametrize("behind", [[], [("_gpgorigin", b"x")]])
def test_the_data_of_a_package_is_not_read(behind: list[tuple[str, bytes]]) -> None:
    version, control, (name, _) = deb_members()
    members = [version, control, (name, b"!" * (4 << 20)), *behind]
    counted = 0

    class Counting(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal counted
            data = super().read(size)
            counted += len(data)
            return data

    assert read_deb(Counting(ar(members))).package == "hello"
    assert counted < 4096


def test_members_of_other_tools_are_passed_over() -> None:
    version, control, data = deb_members()
    assert read(ar([version, ("_extra", b"odd"), control, data, ("_gpgorigin", b"x")]))


def test_names_with_the_slash_of_other_ar_writers_are_known() -> None:
    assert read(ar([(f"{name}/", data) for name, data in deb_members()]))


def test_the_last_padding_may_be_missing() -> None:
    version, control, (name, data) = deb_members()
    whole = ar([version, control, (name, data + b"!" * (1 - len(data) % 2))])
    assert read(whole[:-1]).package == "hello"


def test_harmless_pax_headers_are_passed_over() -> None:
    mtime = tar_member("pax", b"20 mtime=1500000.25\n", b"x")
    assert read(with_control(mtime, tar_member("./control", control_text().encode())))


def test_other_maintainer_files_do_not_matter() -> None:
    folder = tar_member("./sub/", kind=b"5")
    script = tar_member("./postinst", b"#!/bin/sh\n")
    control = tar_member("control", control_text().encode())
    assert read(with_control(script, folder, control)).package == "hello"


def hostile_archives() -> Iterator[tuple[str, bytes]]:
    version, control, data = deb_members()
    yield "not an ar archive", b"PK\x03\x04 and more"
    yield "cut short", b"!<arch"
    yield "not an ar archive", b""
    yield "'nothing' where", ar([])
    yield "where one of ['debian-binary']", ar([control, data])
    yield "where one of ['debian-binary']", ar([("_first", b""), version, control, data])
    yield "not of format 2", ar([("debian-binary", b"3.0\n"), control, data])
    yield "not of format 2", ar([("debian-binary", b"20.0\n"), control, data])
    yield "where one of ['control.tar", ar([version, data, control])
    yield "where one of ['control.tar", ar([version, ("control.tar.bz2", b""), data])
    yield "where one of ['data.tar", ar([version, control])
    yield "where one of ['data.tar", ar([version, control, control, data])
    yield "behind its data", ar([version, control, data, control])
    yield "behind its data", ar([version, control, data, data])
    yield "behind its data", ar([version, control, data, ("surplus", b"")])
    yield "more than 8 members", ar([version, *[("_x", b"")] * 8, control, data])
    yield "damaged member header", ar([version]) + b"x" * 60
    yield "damaged member header", ar([version]) + ar_header("control.tar", "-1")
    yield "damaged member header", ar([version]) + ar_header("control.tar", "1_0")
    yield "damaged member header", ar([version]) + ar_header("control.tar", "0x10")
    yield "cut short", ar([version]) + ar_header("control.tar", 10)[:30]
    yield "cut short", ar([version]) + ar_header("control.tar", 100) + b"short"
    yield "cut short", ar([version, control]) + ar_header("data.tar", 100)
    yield "more than 8192 bytes", ar([version]) + ar_header("control.tar", 1 << 30)
    yield "cut short", ar([version, control]) + ar_header("data.tar", 9999999999)
    yield "more than 1048576 bytes", ar([version, control, (data[0], b"!" * (1 << 20))])


def hostile_control_members() -> Iterator[tuple[str, bytes]]:
    text = control_text().encode()
    control = tar_member("./control", text)
    yield "no file named control", with_control(tar_member("./md5sums", b""))
    yield "no file named control", with_control(tar_member("./sub/control", text))
    yield "'control' twice", with_control(control, control)
    yield "'control' twice", with_control(control, tar_member("control", text))
    yield "unsafe name './../control'", with_control(tar_member("./../control", text))
    yield "unsafe name '/control'", with_control(tar_member("/control", text))
    yield "unsafe name '././control'", with_control(control, tar_member("././control", text))
    yield "unsafe name 'x/../control'", with_control(control, tar_member("x/../control", text))
    yield "unsafe name './/control'", with_control(tar_member(".//control", text))
    yield "unsafe name 'control/'", with_control(tar_member("control/", text))
    yield "unsafe name", with_control(tar_member("control", text, prefix=b"DEBIAN"))
    yield "neither file nor empty folder", with_control(tar_member("./control", kind=b"2"))
    yield "neither file nor empty folder", with_control(tar_member("./control", kind=b"1"))
    yield "neither file nor empty folder", with_control(tar_member("./x", kind=b"3"))
    yield "neither file nor empty folder", with_control(tar_member("./x", text, kind=b"5"))
    yield "neither file nor empty folder", with_control(tar_member("x", b"./control", kind=b"L"))
    yield "renames or resizes", with_control(tar_member("p", b"18 path=./control\n", b"x"), control)
    yield "renames or resizes", with_control(tar_member("p", b"10 size=0\n", b"g"), control)
    yield "damaged tar header", with_control(b"\x01" + control[1:])
    yield "damaged tar header", with_control(tar_member("control", text, size=b"\x80" + bytes(11)))
    yield "damaged tar header", with_control(tar_member("control", text, size=b"-0000000001\0"))
    yield "cut short", with_control(tar_member("./control", b"", size=b"00000777777\0"))
    yield "behind its end", with_control(control, bytes(512), control)
    yield (
        "control member has more than 8",
        with_control(control, *[tar_member(f"f{i}") for i in range(7)]),
    )
    for form in (Form.GZ, Form.XZ, Form.ZST):
        version, _, data = deb_members()
        yield "data is damaged", ar([version, (f"control.tar{form}", b"no such data"), data])


def bombs() -> Iterator[tuple[str, bytes]]:
    zeros = control_tar() + bytes(1 << 20)
    for form in Form:
        if form is not Form.PLAIN:
            yield "unpacks to more than 65536 bytes", deb(archive=zeros, form=form)
            packed = pack(form, control_tar())
            version, _, data = deb_members()
            yield "ends too early", ar([version, (f"control.tar{form}", packed[:-1]), data])
            yield "behind it", ar([version, (f"control.tar{form}", packed + packed), data])


def hostile_controls() -> Iterator[tuple[str, bytes]]:
    good = control_text()
    yield "more than 2048 bytes", deb(good + "X: " + "y" * 3000)
    yield "neither UTF-8 nor Latin-1", deb(good.encode() + b"X: \x93\xff\x94\n")
    yield "neither UTF-8 nor Latin-1", deb(good.encode() + "X: \N{EURO SIGN}".encode()[:-1])
    yield "has the character '\\x00'", deb(good.encode() + b"X: \xff\0\n")
    yield "wrong or repeated line: ''", deb(good + "\nPackage: stowaway\nVersion: 1\n")
    yield "wrong or repeated line: ' '", deb(good + " \nPackage: stowaway\n")
    yield "wrong or repeated line", deb(good + "Package: other\n")
    yield "wrong or repeated line", deb(good + "PACKAGE: other\n")
    yield "wrong or repeated line", deb(good + "no colon\n")
    yield "wrong or repeated line", deb(good + "Two words: x\n")
    yield "wrong or repeated line", deb(good + "# a comment: x\n")
    yield "wrong or repeated line", deb(" starts: folded\n" + good)
    yield "has the character '\\x00'", deb(good + "X: \0\n")
    yield "has the character '\\r'", deb(good.replace("\n", "\r\n"))
    yield (
        "fields that the archive writes: ['filename', 'sha256']",
        deb(good + "Filename: /etc/passwd\nsha256: 0\n"),
    )
    yield "Package: the field is missing", deb("Version: 1\n")
    yield "Package: the field is missing", deb(b"")
    yield "Architecture: the field is missing", deb("Package: aa\nVersion: 1\nArchitecture: \n")


def hostile_names() -> Iterator[tuple[str, bytes]]:
    for name in ("../x", "x", "Hello", "hello_1", "-hello", "héllo", "h" * 129):
        yield "not a package name", deb(control_text(name))
    for version in ("1/../../x", "1 0", "latest"):
        yield "not a Debian version", deb(control_text(version=version))
    for architecture in ("any", "any-amd64", "source", "amd64 i386", "../x", "AMD64"):
        yield "not the architecture", deb(control_text(architecture=architecture))
    yield "not a package name", deb(control_text(Source="../x"))
    yield "Source: 'x (1' is not", deb(control_text(Source="x (1"))
    yield "not a Debian version", deb(control_text(Source="xx (a/b)"))


@pytest.mark.parametrize(
    ("reason", "raw"),
    [
        *hostile_archives(),
        *hostile_control_members(),
        *bombs(),
        *hostile_controls(),
        *hostile_names(),
    ],
)
def test_a_hostile_package_is_refused_with_its_reason(reason: str, raw: bytes) -> None:
    with pytest.raises(FormatError) as refusal:
        read(raw)
    assert reason in str(refusal.value)


def beyond_usual_limits() -> Iterator[tuple[str, bytes]]:
    version, control, data = deb_members()
    yield "more than 16777216 bytes", ar([version]) + ar_header("control.tar", (16 << 20) + 1)
    yield "more than 33554432 bytes", deb(archive=bytes((32 << 20) + 1), form=Form.GZ)
    yield "more than 1048576 bytes", deb(control_text().ljust((1 << 20) + 1, "x"), Form.GZ)
    yield "more than 1000 members", ar([version, *[("_x", b"")] * 997, control, data, ("_x", b"")])


@pytest.mark.parametrize(("reason", "raw"), list(beyond_usual_limits()))
def test_without_limits_of_its_own_a_package_has_the_usual_ones(reason: str, raw: bytes) -> None:
    with pytest.raises(FormatError, match=reason):
        read(raw, DebLimits())


def test_a_package_may_have_as_much_as_the_usual_limits_say() -> None:
    version, control, data = deb_members()
    many = ar([version, *[("_x", b"")] * 996, control, data])
    for raw in (many, deb(f"{control_text()}X: ".ljust((1 << 20) - 1, "x") + "\n", Form.GZ)):
        assert read(raw, DebLimits()).package == "hello"


def test_a_package_of_more_than_16_gib_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "large.deb").open("wb+") as file:
        file.write(deb())
        file.truncate((16 << 30) + 1)  # a sparse file: no byte of it is on the disk
        with pytest.raises(FormatError, match="more than 17179869184 bytes"):
            read_deb(file)
        file.truncate(16 << 30)
        with pytest.raises(FormatError, match="damaged member header"):
            read_deb(file)


@pytest.mark.parametrize("filler", ["a", " ", "a ", "a\n", "\n ", "a:\n", "a:", "- "])
def test_a_large_control_file_of_one_pattern_is_refused_without_delay(filler: str) -> None:
    """A parser with quadratic time on such a pattern would exceed the tests' time limit."""
    limits = DebLimits()
    with pytest.raises(FormatError):
        read(deb(filler * (limits.control_bytes // len(filler)), Form.GZ), limits)


def xz_of_dictionary(code: int) -> bytes:
    """Return a package whose xz stream declares this dictionary size, as the format's code.

    lzma checks the CRC of a block's header first, so the CRC is computed again.
    """
    version, (name, control), data = deb_members()
    header = bytes([2, 0, 0x21, 1, code, 0, 0, 0])
    forged = control[:12] + header + zlib.crc32(header).to_bytes(4, "little") + control[24:]
    return ar([version, (name, forged), data])


def zstd_of_window(code: int) -> bytes:
    """Return a package whose zstd frame declares this window size, as the format's code."""
    version, _, data = deb_members()
    tar = control_tar()
    block = (len(tar) << 3 | 1).to_bytes(3, "little") + tar  # the last block, stored uncompressed
    frame = b"\x28\xb5\x2f\xfd\0" + bytes([code]) + block
    return ar([version, ("control.tar.zst", frame), data])


@pytest.mark.parametrize(
    ("most", "more"),
    [
        (xz_of_dictionary(28), xz_of_dictionary(29)),  # 64 and 96 MiB
        (xz_of_dictionary(28), xz_of_dictionary(40)),  # 4 GiB
        (zstd_of_window(0x88), zstd_of_window(0x89)),  # 128 and 144 MiB
    ],
)
def test_a_stream_has_the_memory_that_its_strongest_ordinary_level_needs(
    most: bytes, more: bytes
) -> None:
    assert read(most).control + "\n" == control_text()
    with pytest.raises(FormatError, match="damaged"):
        read(more)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_no_damage_raises_anything_but_a_refusal(position: int, noise: bytes) -> None:
    raw = bytearray(deb(form=Form.GZ))
    start = position % len(raw)
    raw[start : start + len(noise)] = noise
    with suppress(FormatError):
        read(bytes(raw))


@given(st.data())
def test_a_package_cut_anywhere_is_refused(data: st.DataObject) -> None:
    raw = deb()
    kept = data.draw(st.integers(0, len(raw) - 2))
    with pytest.raises(FormatError):
        read(raw[:kept])


@pytest.mark.parametrize("raw", [b"", b"hello", b"not a package"])
def test_a_file_that_is_no_ar_archive_is_called_that_however_short_it_is(raw: bytes) -> None:
    with pytest.raises(FormatError, match="is not an ar archive"):
        read_deb(BytesIO(raw))
