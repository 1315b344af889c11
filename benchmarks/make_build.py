"""Make a realistic build archive: payloads, tarballs, debug symbols, image zip, UPLOADED manifest.

    make_build.py OUT [--scale 0.01] [--seed 1] [--only NAME ...]

writes OUT/BOARD/BUILD/<artifacts> and, beside that folder, BUILD.json with the size and SHA-256 of
every artifact and of every file inside it. OUT plays the bucket.

The same seed and scale give the same file contents; the compressed archives are the same bytes too
as long as the zlib and bzip2 in use are the same. Scale multiplies the bytes, not the number of
files. Standard library only.
"""

import argparse
import base64
import bz2
import concurrent.futures
import gzip
import hashlib
import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

#: Size and SHA-256, by path.
Files = dict[str, list[Any]]

BOARD = "x86-generic-release"
BUILD = "R17-1208.0.0-a1-b338"
OLDER = "R17-1200.0.0-a1-b330"

MB = 1000 * 1000
BLOCK = 64 * 1024
# What the mixed data compresses to with deflate and bzip2, measured.
RATIO = 0.88
MTIME = 1325376000  # 2012-01-01, the same in every archive

CONTROL = '''AUTHOR = "staging benchmark"
NAME = "%(name)s"
SUITE = "%(suite)s"
TIME = "SHORT"
TEST_TYPE = "%(kind)s"
DOC = """A made-up control file."""
job.run_test("%(name)s")
'''


def chunks(rng: random.Random, size: int) -> Iterator[bytes]:
    """Yield `size` bytes of which one half compresses, to about 3/4: random and base64 in turn."""
    text = False
    while size > 0:
        take = min(BLOCK, size)
        if text:
            block = base64.b64encode(rng.randbytes(take * 3 // 4 + 3))[:take]
        else:
            block = rng.randbytes(take)
        yield block
        size -= take
        text = not text


class Reader(io.RawIOBase):
    """`chunks` as a readable file, hashing what goes through."""

    def __init__(self, rng: random.Random, size: int) -> None:
        self._source = chunks(rng, size)
        self._rest = b""
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the next chunk goes."""
        if not self._rest:
            self._rest = next(self._source, b"")
        take = min(len(buffer), len(self._rest))
        buffer[:take] = self._rest[:take]
        self.sha256.update(self._rest[:take])
        self._rest = self._rest[take:]
        return take


def split(rng: random.Random, total: int, count: int) -> list[int]:
    """Cut `total` into `count` uneven sizes."""
    weights = [rng.lognormvariate(0, 1) for _ in range(count)]
    whole = sum(weights)
    sizes = [int(total * weight / whole) for weight in weights]
    sizes[-1] += total - sum(sizes)
    return sizes


class Tar:
    """A tar file with fixed owners and times that notes each file's hash."""

    def __init__(self, fileobj: Any, rng: random.Random) -> None:
        self._tar = tarfile.open(fileobj=fileobj, mode="w|", format=tarfile.GNU_FORMAT)
        self._rng = rng
        self.files: Files = {}

    def _info(self, name: str, size: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, MTIME, 0o644
        return info

    def folder(self, name: str) -> None:
        """Add a folder."""
        info = self._info(name, 0)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        self._tar.addfile(info)

    def data(self, name: str, size: int) -> None:
        """Add a file of made-up bytes."""
        reader = Reader(self._rng, size)
        self._tar.addfile(self._info(name, size), io.BufferedReader(reader))
        self.files[name] = [size, reader.sha256.hexdigest()]

    def text(self, name: str, text: str) -> None:
        """Add a file with this text."""
        raw = text.encode()
        self._tar.addfile(self._info(name, len(raw)), io.BytesIO(raw))
        self.files[name] = [len(raw), hashlib.sha256(raw).hexdigest()]

    def close(self) -> None:
        """Write the end of the tar."""
        self._tar.close()


def payload(path: str, rng: random.Random, size: int) -> Files:
    """Write one file that is not an archive."""
    reader = Reader(rng, size)
    with open(path, "wb") as out:
        while block := reader.read(BLOCK):
            out.write(block)
    return {os.path.basename(path): [size, reader.sha256.hexdigest()]}


def tgz(path: str, rng: random.Random, fill: Callable[[Tar], None]) -> Files:
    """Write a gzipped tar."""
    with (
        open(path, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as packed,
    ):
        tar = Tar(packed, rng)
        fill(tar)
        tar.close()
    return tar.files


def stateful(path: str, rng: random.Random, size: int) -> Files:
    """Write the stateful partition."""

    def fill(tar: Tar) -> None:
        for number, part in enumerate(split(rng, int(size / RATIO), 300)):
            tar.data("var_new/lib/part%02d/file%03d" % (number % 20, number), part)

    return tgz(path, rng, fill)


def debug(path: str, rng: random.Random, size: int) -> Files:
    """Write debug symbols, of which a part gets unpacked."""

    def fill(tar: Tar) -> None:
        # A fifth of the archive is the symbols, as only they get unpacked.
        whole = int(size / RATIO)
        tar.folder("debug")
        tar.folder("debug/breakpad")
        for number, part in enumerate(split(rng, whole * 2 // 5, 500)):
            name = "lib%03d.so" % number
            tar.data("debug/breakpad/%s/%032X/%s.sym" % (name, rng.getrandbits(128), name), part)
        for number, part in enumerate(split(rng, whole - whole * 2 // 5, 120)):
            tar.data("debug/usr/lib/lib%03d.so.debug" % number, part)

    return tgz(path, rng, fill)


def autotest(path: str, rng: random.Random, size: int) -> Files:
    """Write the tests and their packages."""
    with open(path, "wb") as raw:
        tar = Tar(raw, rng)
        tar.folder("autotest")
        sizes = split(rng, size * 7 // 10, 200)
        sums = []
        for number, part in enumerate(sizes):
            name = "test-site_test%03d.tar.bz2" % number
            tar.data("autotest/packages/" + name, part)
            sums.append("%s %s" % (tar.files["autotest/packages/" + name][1][:32], name))
        tar.text("autotest/packages/packages.checksum", "\n".join(sums) + "\n")
        sizes = split(rng, size - size * 7 // 10, 900)
        for number, part in enumerate(sizes):
            kind = "client" if number % 3 else "server"
            name = "site_test%03d" % number
            home = "autotest/%s/site_tests/%s/" % (kind, name)
            tar.text(
                home + "control",
                CONTROL
                % {"name": name, "suite": "bvt" if number % 9 == 0 else "full", "kind": kind},
            )
            tar.data(home + name + ".py", part)
        # The tarball carries suites as well; staging leaves these ones out.
        for suite in ("bvt", "full", "smoke"):
            tar.text(
                "autotest/test_suites/control." + suite,
                CONTROL % {"name": suite, "suite": "stale", "kind": "server"},
            )
        tar.close()
    return tar.files


def test_suites(path: str, rng: random.Random, size: int) -> Files:
    """Write the suites."""
    with open(path, "wb") as raw, bz2.BZ2File(raw, "wb") as packed:
        tar = Tar(packed, rng)
        for suite in ("bvt", "full", "smoke", "regression"):
            tar.text(
                "autotest/test_suites/control." + suite,
                CONTROL % {"name": suite, "suite": suite, "kind": "server"},
            )
        tar.text(
            "autotest/test_suites/dependency_info",
            repr({"bvt": {"client/site_tests/site_test001/control": ["rpm"]}}),
        )
        for number, part in enumerate(split(rng, int(size / RATIO), 40)):
            tar.data("autotest/test_suites/data/list%02d" % number, part)
        tar.close()
    return tar.files


def images(path: str, rng: random.Random, size: int) -> Files:
    """Write disk images in one zip."""
    files: Files = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for name, share in (
            ("chromiumos_test_image.bin", 4),
            ("chromiumos_base_image.bin", 3),
            ("recovery_image.bin", 3),
            ("boot.desc", 0),
        ):
            part = size * share // 9 or 200
            info = zipfile.ZipInfo(name, (2012, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.file_size = part
            reader = Reader(rng, part)
            with out.open(info, "w") as member:
                while block := reader.read(BLOCK):
                    member.write(block)
            files[name] = [part, reader.sha256.hexdigest()]
    return files


# name -> (maker, bytes of the archive at scale 1)
ARTIFACTS: dict[str, tuple[Callable[[str, random.Random, int], Files], int]] = {
    "image.zip": (images, 900 * MB),
    "debug.tgz": (debug, 200 * MB),
    "chromeos_%s_x86-generic_full_dev.bin" % BUILD: (payload, 300 * MB),
    "stateful.tgz": (stateful, 150 * MB),
    "autotest.tar": (autotest, 100 * MB),
    "chromeos_%s_%s_x86-generic_delta_dev.bin" % (BUILD, BUILD): (payload, 60 * MB),
    "chromeos_%s_%s_x86-generic_delta_dev.bin" % (OLDER, BUILD): (payload, 60 * MB),
    "test_suites.tar.bz2": (test_suites, 5 * MB),
}


def make(folder: str, name: str, seed: str, scale: float) -> tuple[str, dict[str, Any]]:
    """Write one artifact; its name, and its facts for the JSON file."""
    maker, size = ARTIFACTS[name]
    # Its own seed for each artifact: --only does not change the others.
    rng = random.Random("%s/%s" % (seed, name))
    path = os.path.join(folder, name)
    files = maker(path + ".part", rng, max(int(size * scale), 1000))
    if maker is payload:
        files = {name: next(iter(files.values()))}
    os.replace(path + ".part", path)
    digest = hashlib.sha256()
    with open(path, "rb") as made:
        while block := made.read(MB):
            digest.update(block)
    return name, {"size": os.path.getsize(path), "sha256": digest.hexdigest(), "files": files}


def main() -> None:
    """Write the build that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", help="folder that plays the bucket")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiplies the bytes (default: 1 = 1.8 GB)"
    )
    parser.add_argument("--seed", default="1")
    parser.add_argument("--board", default=BOARD)
    parser.add_argument("--build", default=BUILD, help="folder name; artifact names stay the same")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=sorted(ARTIFACTS),
        metavar="NAME",
        help="make only these artifacts",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()

    folder = os.path.join(args.out, args.board, args.build)
    os.makedirs(folder, exist_ok=True)
    names = [name for name in ARTIFACTS if args.only is None or name in args.only]
    made = {}
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        waiting = [pool.submit(make, folder, name, args.seed, args.scale) for name in names]
        for future in concurrent.futures.as_completed(waiting):
            name, facts = future.result()
            made[name] = facts
            print("%12d  %s" % (facts["size"], name), flush=True)
    with open(folder + ".json", "w") as out:
        json.dump(
            {"seed": args.seed, "scale": args.scale, "artifacts": dict(sorted(made.items()))},
            out,
            indent=1,
        )
    # Last, as the archive's own uploader does: its presence says "complete".
    with open(os.path.join(folder, "UPLOADED"), "w") as out:
        out.write("".join(name + "\n" for name in sorted(made)))


if __name__ == "__main__":
    main()
