"""Import contracts of setup.cfg: one violation of each is found, in a copy of the package."""

import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

pytest.importorskip("importlinter")

ROOT = Path(__file__).parents[2]
PREFIX = "importlinter:contract:"
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

#: By contract: modules that violate it, each with an import it may not have. A module that does not
#: exist is created: a rule that applies to it applies to every new module.
OFFENCES: dict[str, list[tuple[str, str]]] = {
    "rooms": [
        ("locks.offender", "staging_api.publishing.model"),
        *[("client.offender", f"staging_api.{room}.model") for room in ("publishing", "locks")],
    ],
    "staging": [("staging.model", "staging_api.staging.worker")],
    "publishing": [("publishing.model", "staging_api.publishing.service")],
    "processes": [("processes.listening", "staging_api.processes.bootstrap")],
    "worker": [
        ("processes.services", "staging_api.http.app"),
        ("http.resources.health", "spectree"),
    ],
    "async": [("client.transport", "aiohttp")],
    "debian": [("debian.version", "staging_api.debian.deb")],
    "embedded-postgres": [("embedded_postgres.files", "staging_api.embedded_postgres.server")],
    "locks": [("locks.model", "staging_api.locks.hold")],
    "documents-service": [("documents.stored", "staging_api.documents.rows")],
    "http": [("http.prefer", "staging_api.http.app")],
    "falcon": [
        ("processes.health", "falcon"),
        ("staging.offender", "falcon"),
        ("publishing.offender", "spectree"),
    ],
    "http-rows": [
        ("http.offender", "staging_api.db.engine"),
        ("http.offender", "staging_api.staging.repository"),
        ("ui.screens.now", "staging_api.staging.repository"),
    ],
    "templates": [("http.prefer", "jinja2"), ("staging.offender", "markupsafe")],
    "ui": [("ui.formats", "staging_api.ui.page")],
    "heartbeats": [("heartbeats.model", "staging_api.heartbeats.service")],
    "changes": [("changes.model", "staging_api.changes.service")],
    "gunicorn": [("http.prefer", "gunicorn"), ("staging.offender", "gunicorn")],
    "database": [
        ("http.offender", "sqlalchemy"),
        ("client.offender", "sqlalchemy"),
        ("publishing.offender", "psycopg2"),
        ("cli.offender", "alembic"),
    ],
    "pydantic": [("documents.offender", "pydantic"), ("client.offender", "pydantic")],
    "terminal": [("http.offender", "typer"), ("client.offender", "rich")],
    "client": [("http.offender", "staging_api.client.client")],
    "side-houses": [("staging.offender", "staging_api.debian.deb")],
    "embedded": [("cli.offender", "staging_api.embedded_postgres.server")],
    "documents": [("documents.text", "staging_api.db.engine")],
}


def contracts() -> dict[str, str]:
    """Return the name of each contract, by its id."""
    found = ConfigParser()
    found.read(ROOT / "setup.cfg")
    return {
        section.removeprefix(PREFIX): found[section]["name"]
        for section in found.sections()
        if section.startswith(PREFIX)
    }


def lint(folder: Path, *options: str) -> str:
    """Return the linter's report on the package in a folder."""
    given = {**os.environ, "COLUMNS": "1000", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", LINT, "--config", "setup.cfg", "--no-cache", *options]
    # The exit status is 1 if a contract is broken: here one always is.
    return subprocess.run(
        command, cwd=folder, env=given, capture_output=True, text=True, check=False
    ).stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package, to which violations are added."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "staging_api", folder / "staging_api")
    shutil.copy(ROOT / "setup.cfg", folder)
    return folder


@pytest.fixture(scope="module")
def report(copy: Path) -> str:
    """Return the linter's report on all violations."""
    for offences in OFFENCES.values():
        for module, imported in offences:
            path = copy / "staging_api" / f"{module.replace('.', '/')}.py"
            with path.open("a") as file:
                file.write(f"\nimport {imported}\n")
    # A module outside all layers would hide the other violations.
    config = (
        (copy / "setup.cfg").read_text().replace("    addresses :", "    offender : addresses :")
    )
    for room in ("documents", "locks", "publishing", "staging"):
        container = f"containers = staging_api.{room}\nexhaustive = True\nlayers =\n"
        assert container in config
        config = config.replace(container, f"{container}    (offender)\n")
    (copy / "setup.cfg").write_text(config)
    return lint(copy)


def test_every_contract_has_an_offence() -> None:
    assert OFFENCES.keys() == contracts().keys()


@pytest.mark.parametrize("contract", OFFENCES)
def test_an_offence_breaks_its_contract(report: str, contract: str) -> None:
    name = contracts()[contract]
    assert f"{name} BROKEN" in report
    _, _, said = report.partition(f"\n{name}\n---")
    for module, imported in OFFENCES[contract]:
        assert f"staging_api.{module} -> {imported} (l." in said


def test_a_room_or_a_module_that_no_layer_names_is_reported(copy: Path, report: str) -> None:
    assert report
    (copy / "staging_api" / "new_room.py").touch()
    (copy / "staging_api" / "http" / "new_module.py").touch()
    (copy / "staging_api" / "staging" / "new_module.py").touch()
    said = lint(copy, "--contract", "rooms", "--contract", "http", "--contract", "staging")
    assert "- staging_api.new_room\n" in said
    assert "- staging_api.http.new_module\n" in said
    assert "- staging_api.staging.new_module\n" in said
