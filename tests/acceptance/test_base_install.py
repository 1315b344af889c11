"""The base install against the running service: client verbs work, others name the extra."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from staging_api.cli import VERBS
from staging_api.cli.exits import NOT_INSTALLED, REFUSED
from tests.apt_archive_api import AptArchiveApi
from tests.base_install import ROOT, base_modules
from tests.builds import build, build_path
from tests.packages import control_text, deb
from tests.service import Client
from tests.source import ArchiveSource

OF_SERVER = sorted(name for name, verb in VERBS.items() if verb.extra)


class Install:
    """A process with the base install, from which each command is forked.

    The start of an interpreter takes longer than most commands.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.base_install", json.dumps(base_modules()), *options],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, arguments: Iterable[object], **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command; its input is empty."""
        out, errors = self._folder / "out", self._folder / "errors"
        words = list(map(str, arguments))
        command = {
            "arguments": words,
            "env": {"PATH": "/usr/bin:/bin", **environment},
            "out": str(out),
            "errors": str(errors),
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(words, code, out.read_text(), errors.read_text())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Machine:
    """A machine with the base install, and its service."""

    def __init__(self, server: str, install: Install) -> None:
        self._server, self._install = server, install

    def run(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        return self._install.run(arguments, STAGING_SERVER=self._server)

    def refused(self, *arguments: object) -> tuple[int, str, str]:
        """Run a command that must fail; return its exit code, output and single error line."""
        done = self.run(*arguments)
        assert done.stderr.count("\n") == 1, done.stderr
        return done.returncode, done.stdout, done.stderr

    def document(self, *arguments: object) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module", params=["linux", "windows"])
def each_install(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Install]:
    """Yield an install with all modules of Unix, or one without those that Windows lacks."""
    options = ["--windows"] if request.param == "windows" else []
    made = Install(tmp_path_factory.mktemp("commands"), *options)
    yield made
    made.close()


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    made = Install(tmp_path_factory.mktemp("commands"))
    yield made
    made.close()


@pytest.fixture
def machine(each_install: Install, client: Client) -> Machine:
    return Machine(client.url, each_install)


@pytest.fixture
def nowhere(install: Install) -> Machine:
    """Return a machine that cannot reach its service."""
    return Machine("http://127.0.0.1:9", install)


def test_a_build_is_staged_awaited_and_shown(machine: Machine, source: ArchiveSource) -> None:
    url = source.add(build_path(), build())
    made = machine.document("stage", url)
    assert machine.document("wait", made["id"])["state"] == "staged"
    assert machine.document("status", made["id"])["archive_url"] == url
    assert url in {each["scope"] for each in machine.document("locks", "--all")["items"]}


def test_an_archive_is_filled_published_and_exported(
    machine: Machine, client: Client, tmp_path: Path
) -> None:
    archive = AptArchiveApi.make(client)
    packages = {name: deb(control_text(name)) for name in ("hello", "world")}
    for name, raw in packages.items():
        (tmp_path / f"{name}.deb").write_bytes(raw)
    sent = [tmp_path / f"{name}.deb" for name in packages]
    assert machine.run("publish", "upload", archive.name, *sent).returncode == 0
    assert machine.run("publish", "publish-ftpmaster", archive.name).returncode == 0
    copy = tmp_path / "copy"
    assert machine.run("publish", "export", archive.name, copy).returncode == 0
    for name, raw in packages.items():
        assert (copy / f"pool/main/{name[0]}/{name}/{name}_1.0-1_amd64.deb").read_bytes() == raw
    assert not list(copy.rglob("*.part"))


def test_changes_of_documents_are_shown_without_the_engine(machine: Machine) -> None:
    assert "buffer" in machine.document("documents", "status")
    done = machine.run("documents", "diff", "0", "committed")
    assert (done.returncode in {0, 1}, done.stderr) == (True, "")


@pytest.mark.parametrize("verb", OF_SERVER)
def test_a_verb_of_the_server_says_what_to_install(nowhere: Machine, verb: str) -> None:
    code, out, error = nowhere.refused(verb)
    assert (code, out) == (NOT_INSTALLED, "")
    assert error.startswith(f"staging-api: Not installed: {verb} needs ")
    assert f"pip install 'staging_api[{VERBS[verb].extra}]'" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("lint", "."),
        ("render", "."),
        ("diff", "./a", "./b"),
        ("why", "a/B/v1", "c", "--folder", "."),
    ],
    ids=lambda given: given[0],
)
def test_documents_without_a_server_say_what_to_install(
    nowhere: Machine, arguments: tuple[str, ...]
) -> None:
    code, out, error = nowhere.refused("documents", *arguments)
    assert (code, out) == (NOT_INSTALLED, "")
    assert "pip install 'staging_api[documents]'" in error


def test_a_copy_to_a_bucket_says_what_to_install(machine: Machine, client: Client) -> None:
    archive = AptArchiveApi.make(client)
    done = machine.run("publish", "export", archive.name, "s3://copies/tools")
    assert done.returncode == REFUSED
    assert "pip install 'staging_api[buckets]'" in done.stderr


def test_help_lists_every_verb(nowhere: Machine) -> None:
    done = nowhere.run("--help")
    assert done.returncode == 0
    assert all(f"  {verb} " in done.stdout for verb in VERBS)
