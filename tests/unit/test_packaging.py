"""Completeness of the package: a file missing in setup.cfg is missing only after installation."""

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def setup() -> ConfigParser:
    found = ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def test_every_package_is_installed():
    listed = set(setup()["options"]["packages"].split())
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "staging_api").rglob("__init__.py")
    }
    assert found <= listed


def test_every_data_file_is_installed():
    data = setup()["options.package_data"]
    patterns = [("staging_api", pattern.strip()) for pattern in data["*"].split(",")]
    patterns += [(name, p.strip()) for name in data if name != "*" for p in data[name].split(",")]
    folders = {"staging_api_migrations": ROOT / "migrations"}
    installed = {
        path
        for package, pattern in patterns
        for path in folders.get(package, ROOT / package.replace(".", "/")).glob(pattern)
    }
    installed |= {p for p in (ROOT / "staging_api").rglob("*") if p.name in data["*"]}
    kinds = {".sql", ".yaml", ".html", ".js", ".css", ".json", ".typed"}
    found = {
        path
        for folder in ("staging_api", "migrations")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in kinds
    }
    assert found - installed == set()
