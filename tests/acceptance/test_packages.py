"""The wheel and the source distribution: each is complete by itself.

``make release`` sets PACKAGES to the folder of its builds; else the test builds both, with the
installed setuptools. Each editable installation proves that the build requirements suffice.
"""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from configparser import ConfigParser
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from staging_api.cli.exits import NOT_INSTALLED
from tests.base_install import base_distributions
from tests.printed import ROOT

pytestmark = pytest.mark.timeout(600)

_PROVED = "Everything is stopped; nothing is left behind"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked source distribution."""
    packed, folder = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("sdist")
    with tarfile.open(given("*.tar.gz") or built("sdist", ROOT, packed)) as opened:
        opened.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel; if it is not given, one built from the source distribution."""
    return given("*.whl") or built(
        "wheel", request.getfixturevalue("sources"), tmp_path_factory.mktemp("wheel")
    )


def given(pattern: str) -> Path | None:
    """Return the package of a release; None if there is none."""
    folder = os.environ.get("PACKAGES")
    return next(Path(folder).absolute().glob(pattern)) if folder else None


def built(kind: str, sources: Path, folder: Path) -> Path:
    """Build a package, as the front ends do, without a front end and its environment."""
    build = f"from setuptools import build_meta; build_meta.build_{kind}({str(folder)!r})"
    succeed([sys.executable, "-c", build], sources)
    (found,) = folder.iterdir()
    return found


def succeed(command: Iterable[str], folder: Path, **environment: str) -> str:
    """Run a program, which must succeed; return its output."""
    done = subprocess.run(
        list(command),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


def lend_compiled(folder: Path) -> None:
    """Give modules the compiled form that this tree has of them, and its time of each source.

    Python accepts a compiled form only for a source of the same size and time.
    """
    for compiled in (each for top in ("staging_api", "tests") for each in compiled_below(top)):
        source = Path(*compiled.relative_to(ROOT).parts[:-2], f"{compiled.name.split('.')[0]}.py")
        there = folder / compiled.relative_to(ROOT)
        if (folder / source).is_file():
            assert (folder / source).read_bytes() == (ROOT / source).read_bytes()
            modified = (ROOT / source).stat().st_mtime_ns
            os.utime(folder / source, ns=(modified, modified))
            there.parent.mkdir(exist_ok=True)
            shutil.copyfile(compiled, there)


def compiled_below(top: str) -> Iterable[Path]:
    return (ROOT / top).rglob(f"__pycache__/*.{sys.implementation.cache_tag}*.pyc")


def metadata(wheel: Path) -> Message:
    """Return the wheel's metadata, as a package index shows them."""
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [each for each in packed.namelist() if each.endswith("/METADATA")]
        return message_from_bytes(packed.read(name))


def test_one_wheel_whose_base_is_the_client(wheel: Path) -> None:
    shown = metadata(wheel)
    assert wheel.name == f"staging_api-{shown['Version']}-py3-none-any.whl"
    required = shown.get_all("Requires-Dist") or []
    base = {each.split()[0].split("<")[0].split(">")[0] for each in required if "extra" not in each}
    assert base == {"rich", "typer", "urllib3"}
    assert {"server", "embedded", "documents", "buckets"} <= set(
        shown.get_all("Provides-Extra") or ()
    )


def test_the_metadata_say_what_a_user_has_to_know(wheel: Path) -> None:
    shown = metadata(wheel)
    assert (shown["License-Expression"] or shown["License"]) == "MIT"
    assert shown["Requires-Python"] == ">=3.11"
    assert shown["Description-Content-Type"] == "text/markdown"
    assert len(shown["Summary"]) < 100
    classifiers = shown.get_all("Classifier") or []
    for minor in (11, 12, 13, 14):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers
    for address in shown.get_all("Project-URL") or []:
        assert "example" not in address


def test_no_link_of_the_description_leads_beside_the_index(wheel: Path) -> None:
    text = str(metadata(wheel).get_payload())
    assert "stages a build's artifacts exactly once" in text
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        assert address.startswith(("https://", "http://"))


def test_links_of_the_readme_lead_to_the_address_of_its_files_if_there_is_one() -> None:
    readme = runpy.run_path(str(ROOT / "setup.py"))["readme"]
    text = "[a](docs/a.md) ![b](docs/b.png) [c](https://c.example/) [d](#d)"
    kept = "[c](https://c.example/) [d](#d)"
    assert readme(text, "") == f"a  {kept}"
    below = "https://h.example/blob/v1"
    assert readme(text, f"{below}/") == f"[a]({below}/docs/a.md) ![b]({below}/docs/b.png) {kept}"


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("dist-info/licenses/LICENSE") for name in packed.namelist())
    folders = {"staging_api": ROOT / "staging_api", "staging_api_migrations": ROOT / "migrations"}
    here = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names <= here
    # The sources of generated files, and the template of migrations, are not packaged.
    assert {name for name in here - names if not name.endswith((".mako", ".md"))} == set()


def test_the_demo_needs_nothing_but_the_wheel(wheel: Path, tmp_path: Path) -> None:
    packages, empty = tmp_path / "packages", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    lend_compiled(packages)
    shown = succeed(
        [sys.executable, "-m", "staging_api", "demo"], empty, PYTHONPATH=str(packages), COLUMNS="99"
    )
    assert re.search(r"the archive \w+( \w+)* \d objects, each once", shown)
    # Locks of the archive only: the Idempotency-Keys of the two requests have locks, too.
    row = r"^\W+(\w+)\W+\S+:\d+:\w+\W+\d+\W+[\d:.]+\W+released\W+$"
    assert sorted(re.findall(row, shown, re.MULTILINE)) == ["anonymous", "worker"]
    assert shown.count("staging-api stage http") == 2
    assert "206 bytes 0-15/6000000" in shown
    assert _PROVED in shown
    assert list(empty.iterdir()) == []


@pytest.mark.prove  # the metadata name what pip installs here; `make release` runs this as well
def test_a_fresh_environment_gets_what_the_client_needs_and_no_more(
    wheel: Path, tmp_path: Path
) -> None:
    home = tmp_path / "venv"
    venv.create(home)
    # Uses this environment's pip: installing another takes as long as the rest of the test.
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python")]
    pip.append("--disable-pip-version-check")
    pinned = ["--constraint", str(ROOT / "constraints.txt")]
    # Most modules are never imported here, and need not be compiled.
    succeed([*pip, "install", "--quiet", "--no-compile", *pinned, str(wheel)], tmp_path)
    listed = json.loads(succeed([*pip, "list", "--format=json"], tmp_path))
    names = {each["name"].lower().replace("_", "-") for each in listed}
    assert names == {"staging-api", *base_distributions()}
    done = subprocess.run(
        [home / "bin" / "staging-api", "serve"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (NOT_INSTALLED, "", 1)


@pytest.mark.prove  # it proves a release, not a change; `make release` runs it
def test_unit_tests_run_out_of_the_source_distribution(sources: Path) -> None:
    for name in ("README.md", "CHANGELOG.md", "docs/index.md", "docs/images/lock.svg"):
        assert (sources / name).is_file(), name
    lend_compiled(sources)
    # Running all tests takes long, and is done in the tree.
    some = [f"tests/unit/{name}" for name in ("debian", "formats", "ui")]
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    assert "passed" in succeed([*run, *some], sources)


def test_the_source_distribution_has_every_file_of_tests_and_docs(sources: Path) -> None:
    def below(root: Path, top: str) -> set[str]:
        return {
            path.relative_to(root).as_posix()
            for path in (root / top).rglob("*")
            if path.suffix in {".py", ".md", ".json", ".svg", ".yaml"}
            and "_build" not in path.parts
        }

    for top in ("tests", "docs", "migrations", "charts", "benchmarks"):
        assert below(ROOT, top) - below(sources, top) == set()


def test_the_version_stands_in_one_place_and_in_the_chart(wheel: Path) -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    version = setup["metadata"]["version"]
    assert metadata(wheel)["Version"] == version
    assert f"appVersion: {version}" in (ROOT / "charts/staging-api/Chart.yaml").read_text().replace(
        '"', ""
    )
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
