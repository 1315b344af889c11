"""A build of about 30 MB, shaped like one of Chromium OS; the same bytes on every machine."""

import base64
import bz2
import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

BUILD = "x86-generic-release/R17-1208.0.0-a1-b338"
_NAME = BUILD.partition("/")[2]
_OLDER = "R17-1200.0.0-a1-b330"
_TIME = 1325376000  # 2012-01-01
_CONTROL = 'AUTHOR = "demo"\nNAME = "{0}"\nTIME = "SHORT"\nDOC = """A made-up test."""\n'


def make_build(archive: Path) -> None:
    """Write the build below `archive`, with the manifest last, as an uploader does."""
    folder = archive / BUILD
    folder.mkdir(parents=True)
    for name, content in _objects():
        folder.joinpath(name).write_bytes(content)
    names = sorted(path.name for path in folder.iterdir())
    folder.joinpath("UPLOADED").write_text("".join(f"{name}\n" for name in names))


def _objects() -> list[tuple[str, bytes]]:
    return [
        (f"chromeos_{_NAME}_x86-generic_full_dev.bin", _bytes("full", 6_000_000)),
        (f"chromeos_{_NAME}_{_NAME}_x86-generic_delta_dev.bin", _bytes("nton", 1_200_000)),
        (f"chromeos_{_OLDER}_{_NAME}_x86-generic_delta_dev.bin", _bytes("mton", 1_200_000)),
        ("stateful.tgz", gzip.compress(_tar(_stateful()), 1, mtime=0)),
        ("autotest.tar", _tar(_autotest())),
        ("test_suites.tar.bz2", bz2.compress(_tar(_suites()))),
        ("debug.tgz", gzip.compress(_tar(_symbols()), 1, mtime=0)),
        ("image.zip", _images()),
    ]


def _stateful() -> Mapping[str, bytes]:
    return {f"var_new/lib/file{n:03d}": _bytes(f"stateful {n}", 30_000) for n in range(100)}


def _autotest() -> Mapping[str, bytes]:
    tests = [f"site_test{number:03d}" for number in range(100)]
    controls = {f"autotest/client/site_tests/{t}/control": _CONTROL.format(t) for t in tests}
    return {
        **{name: text.encode() for name, text in controls.items()},
        **{f"autotest/packages/test-{t}.tar.bz2": _bytes(t, 20_000) for t in tests},
    }


def _suites() -> Mapping[str, bytes]:
    suites = {f"autotest/test_suites/control.{s}": _CONTROL.format(s) for s in ("bvt", "smoke")}
    return {name: text.encode() for name, text in suites.items()}


def _symbols() -> Mapping[str, bytes]:
    return {
        f"debug/breakpad/lib{n}.so/{n:033X}/lib{n}.so.sym": _bytes(f"symbols {n}", 100_000)
        for n in range(40)
    }


def _images() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, size in (
            ("chromiumos_test_image.bin", 6_000_000),
            ("chromiumos_base_image.bin", 4_000_000),
            ("recovery_image.bin", 4_000_000),
        ):
            file.writestr(zipfile.ZipInfo(name, (2012, 1, 1, 0, 0, 0)), _bytes(name, size))
    return packed.getvalue()


def _tar(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(content), _TIME, 0o644
            file.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _bytes(seed: str, size: int) -> bytes:
    """Return `size` bytes, half of them compressible, as in a program."""
    # Not for secrets: the same bytes each time.
    numbers = random.Random(seed)  # noqa: S311
    half = numbers.randbytes(size // 2)
    text = base64.b64encode(numbers.randbytes(size // 2))
    return (half + text)[:size]
