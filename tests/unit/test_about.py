"""Digest of the package's code: which files it covers, and which of their contents."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from staging_api import about

HEX = set("0123456789abcdef")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Create a package of two files, one of them in a folder, beside compiled files."""
    for name in ("first.py", "rows/second.sql", "rows/__pycache__/second.pyc"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"of {name}")
    monkeypatch.setattr(about, "_PACKAGE", tmp_path)
    about.build.cache_clear()
    yield tmp_path
    about.build.cache_clear()


def digest() -> str:
    about.build.cache_clear()
    return about.build()


def test_a_build_is_twelve_hex_digits_and_the_same_for_the_same_files(package: Path) -> None:
    found = digest()
    assert len(found) == 12
    assert set(found) <= HEX
    assert digest() == found


@pytest.mark.parametrize(
    "change",
    [
        lambda package: (package / "first.py").write_text("of another"),
        lambda package: (package / "rows" / "second.sql").write_text("of another"),
        lambda package: (package / "first.py").rename(package / "fourth.py"),
        lambda package: (package / "third.py").touch(),
        lambda package: (package / "first.py").unlink(),
    ],
    ids=["text", "text in a folder", "name", "one more", "one less"],
)
def test_a_build_differs_when_a_file_does(package: Path, change: Callable[[Path], object]) -> None:
    before = digest()
    change(package)
    assert digest() != before


def test_what_python_compiles_is_no_part_of_a_build(package: Path) -> None:
    before = digest()
    (package / "rows" / "__pycache__" / "second.pyc").write_text("compiled again")
    assert digest() == before
