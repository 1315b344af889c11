"""Container files made by real programs, unpacked like by tar and unzip."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from staging_api.formats import tar
from staging_api.formats import zip as unzip
from staging_api.formats.model import UnpackLimits
from tests.archives import InMemory, unpack

pytestmark = pytest.mark.system
#: Environment in which all tools read file names as UTF-8.
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8"}

TARS = {
    "tar": "tar -cf x * .hidden",
    "tar of .": "tar -cf x .",
    "tar.gz": "tar -czf x *",
    "tar.xz": "tar -cJf x *",
    "tar.zst, long": "tar --zstd -cf x *",
    "v7": "tar --format=v7 -cf x *",
    "ustar": "tar --format=ustar -cf x *",
    "posix": "tar --format=posix -cf x *",
    "tar with a label": "tar -V label -cf x *",
    "incremental dump": "tar -g ../snapshot -cf x .",
    "tar rf": "tar -cf x text.txt; echo new > text.txt; tar -rf x text.txt bin",
    "pzstd": "tar -cf - * | pzstd -q -c > ../x",
    "zstd --long=28": "tar -cf - * | zstd -q --long=28 -c > ../x",
    "libarchive": "cmake -E tar cf x --format=pax *",
    "bsdtar": "bsdtar -cf x *",
    "bsdtar, gnutar": "bsdtar --format=gnutar -cf x *",
    "sparse, GNU": "tar --sparse --format=gnu -cf x disk.img text.txt",
    **{
        f"sparse, PAX {form}": "tar --sparse --format=posix -cf x disk.img text.txt"
        f" --sparse-version={form}"
        for form in ("0.0", "0.1", "1.0")
    },
}
ZIPS = {
    "zip": "zip -qr x *",
    "zip of .": "zip -qr x .",
    "zip with links": "zip -qry x *",
    "zip to a pipe": "zip -qr - * | cat > ../x",
    "zip -fd": "zip -qr -fd x *",
    "zip -0": "zip -q0r x *",
    "zip of bzip2": "zip -qr -Z bzip2 x *",
    "zip in a pipe of itself": "zip -q - - < text.txt | cat > ../x",
    "a self-extractor": "zip -qr x.zip *; cat bin x.zip > x",
    "a self-extractor, adjusted": "zip -qr x.zip *; cat bin x.zip > x; zip -qA x",
    "libarchive": "cmake -E tar cf x --format=zip *",
    "bsdtar": "bsdtar --format=zip -cf x *",
    "bsdtar to a pipe": "bsdtar --format=zip -cf - * | cat > ../x",
    "7z": "7zz a -tzip -bd x.zip * > /dev/null; mv x.zip x",
    **{
        f"7z, {method}": f"7zz a -tzip -bd -mm={method} x.zip * > /dev/null; mv x.zip x"
        for method in ("Copy", "Deflate64", "BZip2", "LZMA")
    },
}


@pytest.fixture
def files(tmp_path):
    """Return a folder of build files: text, a program, links, odd names, a sparse image."""
    folder = tmp_path / "files"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("größe.txt", "deep/back\\slash.slice", "deep/er/no\u00a0break", ".hidden"):
        (folder / name).write_text(f"content of {name}")
    (folder / "text.txt").write_text("text\n" * 5000)
    (folder / "xt_TCPMSS.ko").write_text("upper")
    (folder / "xt_tcpmss.ko").write_text("lower")
    (folder / "bin").write_bytes(os.urandom(40_000))
    (folder / "bin").chmod(0o755)
    (folder / "deep" / "link").symlink_to("../text.txt")
    (folder / "deep" / "hard").hardlink_to(folder / "text.txt")
    with (folder / "disk.img").open("wb") as image:
        for at in (0, 3 << 20, 9 << 20):
            image.seek(at)
            image.write(os.urandom(5000))
        image.truncate(12 << 20)
    return folder


def made(command: str, files: Path) -> bytes:
    """Return the container file that a command makes of this folder."""
    subprocess.run(["bash", "-ec", command], cwd=files, check=True, env=ENVIRONMENT)
    # Output of a pipe is written beside the folder, or it would become a member of itself.
    made_here = [files / "x", files / "x.zip", files.parent / "x"]
    data = next(path for path in made_here if path.exists()).read_bytes()
    for path in made_here:
        path.unlink(missing_ok=True)
    return data


def as_a_tool_unpacks(data: bytes, tool: str, folder: Path) -> dict[str, bytes]:
    """Return all files that the reference tool unpacks, links followed."""
    folder.mkdir()
    archive = folder.with_name("archive")
    archive.write_bytes(data)
    if tool == "tar":
        subprocess.run(["tar", "-xf", archive], cwd=folder, check=True)
    else:
        # Status 1: extra bytes in front or behind.
        command = ["unzip", "-qo", str(archive)]
        unpacked = subprocess.run(command, cwd=folder, check=False, env=ENVIRONMENT)
        assert unpacked.returncode in (0, 1)
    found = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()}


@pytest.mark.parametrize("name", TARS)
def test_a_real_tar_is_unpacked_as_tar_does(name, files, tmp_path):
    data = made(TARS[name], files)
    found = unpack(tar.extract, InMemory(data), limits=UnpackLimits(window_bytes=512 << 20))[0]
    if "--zstd" in TARS[name] or "zstd" in name:
        unpacker = ["zstd", "-dcq", "--long=31"]
        data = subprocess.run(unpacker, input=data, capture_output=True, check=True).stdout
    assert found == as_a_tool_unpacks(data, "tar", tmp_path / "out")


@pytest.mark.parametrize("name", ZIPS)
def test_a_real_zip_is_unpacked_as_unzip_does(name, files, tmp_path):
    data = made(ZIPS[name], files)
    found = unpack(unzip.extract, InMemory(data))[0]
    if "LZMA" in name:  # which unzip does not know
        archive = tmp_path / "lzma.zip"
        archive.write_bytes(data)
        with zipfile.ZipFile(archive) as reader:
            names = [name for name in reader.namelist() if not name.endswith("/")]
            expected = {name: reader.read(name) for name in names}
    else:
        expected = as_a_tool_unpacks(data, "unzip", tmp_path / "out")
    assert found == expected
