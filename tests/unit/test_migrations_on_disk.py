"""Location of the migrations: beside the package in a checkout, else in their own package."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db import migrate
from staging_api.errors import SchemaOutdated


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the only folder of packages; this project's package is in no checkout."""
    migrate.revisions.cache_clear()
    monkeypatch.setattr(migrate, "_BESIDE_PACKAGE", tmp_path / "nowhere")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if _is_of_path(each)])
    monkeypatch.delitem(sys.modules, "staging_api_migrations", raising=False)
    yield tmp_path / "staging_api_migrations"
    migrate.revisions.cache_clear()


def _is_of_path(finder: object) -> bool:
    """Return whether the finder searches `sys.path`; an editable install has its own finder."""
    return getattr(finder, "__name__", "") == "PathFinder"


def put(folder: Path, *names: str) -> None:
    (folder / "versions").mkdir(parents=True)
    for name in names:
        (folder / "versions" / name).write_text("")


def test_the_steps_of_an_installed_package_are_in_the_order_of_their_numbers(installed: Path):
    put(installed, "10000_last.py", "0009_second.py", "0001_first.py", "__init__.py", "1_no.py")
    (installed / "__init__.py").write_text("")
    assert migrate.revisions() == ("0001", "0009", "10000")
    assert migrate.wanted_revision() == "10000"


def test_the_steps_beside_the_package_come_before_installed_ones(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    put(installed, "0002_installed.py")
    (installed / "__init__.py").write_text("")
    put(tmp_path / "beside", "0001_beside.py")
    (tmp_path / "beside" / "env.py").write_text("")
    monkeypatch.setattr(migrate, "_BESIDE_PACKAGE", tmp_path / "beside")
    assert migrate.revisions() == ("0001",)


@pytest.mark.parametrize("there", ["nothing", "a folder that is no package", "no steps"])
def test_a_package_without_its_steps_is_incomplete(installed: Path, there: str):
    if there != "nothing":
        put(installed)
    if there == "no steps":
        (installed / "__init__.py").write_text("")
    with pytest.raises(SchemaOutdated, match="incomplete"):
        migrate.revisions()
