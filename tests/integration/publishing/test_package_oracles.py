"""Our readers and writers against Debian's own tools, on real packages and random versions."""

import json
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from staging_api.debian.control import parse_stanza, split_stanzas
from staging_api.debian.deb import BinaryPackage, read_deb
from staging_api.debian.dsc import read_dsc
from staging_api.debian.version import parse_version
from staging_api.publishing.indices import binary_entry, source_entry
from tests.packages import source_file
from tests.versions import VERSIONS

pytestmark = pytest.mark.system

PACKAGES = 220
LARGEST_BYTES = 12_000
WEAK = ("MD5", "SHA1", "SHA512")

# Prints python-debian's reading of each package, in Debian's Python, as a list of pairs.
PYTHON_DEBIAN = """
import json, sys
from debian.debfile import DebFile
print(json.dumps([list(DebFile(path).debcontrol().items()) for path in sys.argv[1:]]))
"""


@given(VERSIONS, VERSIONS)
@settings(max_examples=300, deadline=None)
@example("1.0", "1.0-0")
@example("1a", "1a0")
def test_versions_order_as_dpkg_compares(left: str, right: str) -> None:
    a, b = parse_version(left).sort_key, parse_version(right).sort_key
    relation = "lt" if a < b else "gt" if a > b else "eq"
    subprocess.run(["dpkg", "--compare-versions", left, relation, right], check=True)


@pytest.fixture(scope="module")
def debs() -> list[Path]:
    """Return small packages of the distribution, downloaded once and kept between runs."""
    folder = Path(tempfile.gettempdir()) / "staging-api-test-packages"
    folder.mkdir(exist_ok=True)
    if len(list(folder.glob("*.deb"))) < PACKAGES:
        argv = ["apt-get", "-o", "APT::Sandbox::User=root", "download", *_small_packages()]
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    return sorted(folder.glob("*.deb"))[:PACKAGES]


def _small_packages() -> list[str]:
    """Return package names from the whole alphabet, for various maintainers and control files."""
    listing = subprocess.run(
        ["apt-cache", "dumpavail"], check=True, capture_output=True, text=True
    ).stdout
    found = [parse_stanza(stanza) for stanza in split_stanzas(listing.strip())]
    small = sorted(
        {each["package"] for each in found if int(each.get("size", LARGEST_BYTES)) < LARGEST_BYTES}
    )
    return small[:: len(small) // (PACKAGES + 5)]


@pytest.fixture(scope="module")
def packages(debs: list[Path]) -> list[BinaryPackage]:
    def read(path: Path) -> BinaryPackage:
        with path.open("rb") as file:
            return read_deb(file)

    return [read(path) for path in debs]


def test_fields_equal_those_of_python_debian(
    debs: list[Path], packages: list[BinaryPackage]
) -> None:
    argv = ["/usr/bin/python3", "-c", PYTHON_DEBIAN, *map(str, debs)]
    printed = subprocess.run(argv, check=True, capture_output=True).stdout
    theirs = [{name.lower(): value for name, value in fields} for fields in json.loads(printed)]
    assert len(theirs) == PACKAGES
    assert [dict(package.fields) for package in packages] == theirs


def test_control_files_equal_those_of_dpkg_deb(
    debs: list[Path], packages: list[BinaryPackage]
) -> None:
    for path, package in list(zip(debs, packages, strict=True))[::10]:
        argv = ["dpkg-deb", "--info", str(path), "control"]
        printed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        assert package.control == printed.strip("\n")


def test_packages_equal_those_of_apt_ftparchive(
    debs: list[Path], packages: list[BinaryPackage]
) -> None:
    theirs = ftparchive("packages", debs[0].parent)
    ours = {}
    for path, package in zip(debs, packages, strict=True):
        name = f"{path.parent.name}/{path.name}"
        raw = path.read_bytes()
        entry = binary_entry(package.control, name, len(raw), sha256(raw).hexdigest())
        ours[name] = fields_of(entry.stanza)
    assert ours == {name: theirs[name] for name in ours}


def test_sources_equal_those_of_apt_ftparchive(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    for number in range(3):
        build_source(pool, f"source-{number}")
    ours = {}
    for path in pool.glob("*.dsc"):
        source = read_dsc(path.read_bytes())
        for listed in source.files:
            assert listed == source_file(listed.name, (pool / listed.name).read_bytes())
        entry = source_entry(source.control, "pool", source.dsc, source.files)
        ours[source.package] = fields_of(entry.stanza)
    theirs = ftparchive("sources", pool)
    assert len(ours) == 3
    assert ours == theirs


def fields_of(stanza: bytes) -> dict[str, str]:
    return parse_stanza(stanza.decode().strip())


def ftparchive(kind: str, folder: Path) -> dict[str, dict[str, str]]:
    """Return apt-ftparchive's stanzas without weak hashes, by file or by source name."""
    weak = (f"-oAPT::FTPArchive::{name}=false" for name in WEAK)
    argv = ["apt-ftparchive", *weak, kind, folder.name]
    printed = subprocess.run(argv, cwd=folder.parent, check=True, capture_output=True, text=True)
    found = [parse_stanza(stanza) for stanza in split_stanzas(printed.stdout.strip())]
    return {fields.get("filename", fields["package"]): fields for fields in found}


def build_source(folder: Path, name: str) -> None:
    tree = folder / name
    (tree / "debian/source").mkdir(parents=True)
    (tree / "debian/source/format").write_text("3.0 (native)\n")
    (tree / "debian/changelog").write_text(
        f"{name} (1:1.0) unstable; urgency=low\n\n  * Begin.\n\n"
        " -- Ada <ada@example.org>  Sun, 01 Nov 2026 08:00:00 +0000\n"
    )
    (tree / "debian/control").write_text(
        f"Source: {name}\nMaintainer: Ada <ada@example.org>\nBuild-Depends: debhelper,\n words\n\n"
        f"Package: {name}\nArchitecture: any\nDescription: a greeting\n It greets.\n"
    )
    subprocess.run(["dpkg-source", "-b", name], cwd=folder, check=True, capture_output=True)
