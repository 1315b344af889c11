"""Clients that two public generators make of the committed document work against a service.

A generator's warning is a failure: it leaves out what it does not understand.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from tests.builds import build, build_path
from tests.contract import COMMITTED
from tests.databases import Migrated
from tests.documents import document, policy, stream
from tests.service import Pod, service
from tests.source import ArchiveSource, archive_source

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROGRAMS = Path(__file__).parent / "generated"
TOOLS = Path(os.environ.get("STAGING_TEST_TOOLS", "/var/cache/staging-api-tests"))
PYTHON = TOOLS / "openapi-python-client" / "bin"
NODE_MODULES = TOOLS / "openapi-typescript" / "node_modules"
#: The media types that the generator does not know are bytes.
CONFIG = {
    "content_type_overrides": {
        "*/*": "application/octet-stream",
        "application/x-yaml": "application/octet-stream",
    },
    "post_hooks": [],
}


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture
def pod(migrated: Migrated, source: ArchiveSource, tmp_path: Path) -> Iterator[tuple[Pod, str]]:
    """A service with a worker, that takes one token."""
    token, entry = make_token("ci", [Role.STAGER], None)
    tokens = tmp_path / "tokens.yaml"
    add_to_file(tokens, entry)
    settings = {"auth": "tokens", "tokens_file": str(tokens)}
    with (
        migrated() as url,
        service(tmp_path, url, f"{source.url}/", **settings) as pods,
    ):
        pods.worker()
        yield pods.api()[0], token


def ran(*command: str | Path, folder: Path, given: bytes = b"", **environment: str) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        input=given,
        capture_output=True,
        check=False,
        timeout=240,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout.decode()


def check(printed: str) -> None:
    """All of it was read as it was sent."""
    said: dict[str, Any] = json.loads(printed)
    rendered = list(yaml.safe_load_all(said.pop("rendered")))
    assert {each["metadata"]["name"] for each in rendered} == {"one", "layering-policy"}
    assert said.pop("marker")
    assert said.pop("requested")
    assert "full_payload" in said.pop("artifacts")
    assert said == {
        "state": "staged",
        "listed": True,
        "refused": "source_not_allowed",
        "unknown": [404, "not_found", "/errors/not_found"],
    }


def test_one_of_openapi_python_client(
    pod: tuple[Pod, str], source: ArchiveSource, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    ran(
        *(PYTHON / "openapi-python-client", "generate", "--path", COMMITTED, "--config", config),
        *("--output-path", tmp_path / "generated", "--meta", "none", "--fail-on-warning"),
        folder=tmp_path,
    )
    running, token = pod
    archive = source.add(build_path(), build("generated"))
    program = (PYTHON / "python", PROGRAMS / "with_python.py", running.url, token, archive)
    posted = stream(document("one"), policy())
    check(ran(*program, folder=tmp_path, given=posted, PYTHONPATH=str(tmp_path)))


def test_one_of_openapi_typescript(
    pod: tuple[Pod, str], source: ArchiveSource, tmp_path: Path
) -> None:
    folder = tmp_path / "typescript"
    folder.mkdir()
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(PROGRAMS / "with_typescript.mts", folder)
    programs = NODE_MODULES / ".bin"
    ran(programs / "openapi-typescript", COMMITTED, "-o", "api.d.ts", folder=folder)
    strict = ("--strict", "--target", "es2022", "--module", "nodenext", "--types", "node")
    ran(programs / "tsc", *strict, "with_typescript.mts", folder=folder)
    running, token = pod
    archive = source.add(build_path(), build("generated"))
    posted = stream(document("one"), policy())
    program = ("node", "with_typescript.mjs", running.url, token, archive)
    check(ran(*program, folder=folder, given=posted))
