"""Small builds for tests: the objects of a Chromium OS archive, each a few kilobytes, in memory."""

import bz2
import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from itertools import count

#: The objects of an archive, by name.
Objects = dict[str, bytes]

FULL_PAYLOAD = "chromeos_R17_x86_full_dev.bin"
NTON_PAYLOAD = "chromeos_R17_R17_x86_delta_dev.bin"
MANIFEST = "UPLOADED"

_builds = count(1)


def build_path() -> str:
    """Where a build lies at its source: another one for each call."""
    return f"board-release/R17-{next(_builds)}.0.0"


def build(seed: str = "build", payload_bytes: int = 300_000) -> Objects:
    """The objects of one build; optional ones but the update to itself are missing."""
    noise = random.Random(seed)
    objects = {
        FULL_PAYLOAD: noise.randbytes(payload_bytes),
        "stateful.tgz": gzip.compress(noise.randbytes(20_000), mtime=0),
        "test_suites.tar.bz2": bz2.compress(
            tar({"autotest/test_suites/control.bvt": noise.randbytes(500)})
        ),
        NTON_PAYLOAD: noise.randbytes(30_000),
        "autotest.tar": tar(
            {
                "autotest/packages/client.tar.bz2": noise.randbytes(5_000),
                "autotest/server/control": noise.randbytes(300),
                "autotest/test_suites/control.stale": noise.randbytes(300),
            }
        ),
        "debug.tgz": gzip.compress(
            tar(
                {"debug/breakpad/lib.so.sym": noise.randbytes(900), "debug/lib.so.debug": b"large"}
            ),
            mtime=0,
        ),
        "image.zip": zipped(
            {
                "chromiumos_test_image.bin": noise.randbytes(40_000),
                "chromiumos_base_image.bin": noise.randbytes(40_000),
                "recovery_image.bin": noise.randbytes(40_000),
            }
        ),
    }
    return with_manifest(objects)


def with_manifest(objects: Mapping[str, bytes]) -> Objects:
    """The objects, and the one that names them all."""
    names = "".join(f"{name}\n" for name in sorted(objects) if name != MANIFEST)
    return {**objects, MANIFEST: names.encode()}


def tar(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files, under whatever names they are given."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files, under whatever names they are given."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2012, 1, 1, 0, 0, 0)), content)
    return raw.getvalue()
