"""Small builds for tests: objects of Chromium OS archives, a few kilobytes each, in memory."""

import bz2
import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from itertools import count

#: Content of each object of an archive, by name.
Objects = dict[str, bytes]

FULL_PAYLOAD = "chromeos_R17_x86_full_dev.bin"
NTON_PAYLOAD = "chromeos_R17_R17_x86_delta_dev.bin"
MANIFEST = "UPLOADED"

_builds = count(1)


def build_path() -> str:
    """Return a new path for a build at its source; each call returns a different one."""
    return f"board-release/R17-{next(_builds)}.0.0"


def build(seed: str = "build", payload_bytes: int = 300_000) -> Objects:
    """Return the objects of one build; of the optional ones only the update payload to itself."""
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
    """Return the objects, and the manifest that lists them."""
    names = "".join(f"{name}\n" for name in sorted(objects) if name != MANIFEST)
    return {**objects, MANIFEST: names.encode()}


def tar(files: Mapping[str, bytes]) -> bytes:
    """Build a tar of these files, under exactly the given names."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Build a zip of these files, under exactly the given names."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2012, 1, 1, 0, 0, 0)), content)
    return raw.getvalue()
