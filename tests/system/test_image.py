"""The image: its steps in a clean root file system, and what runs in the result."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.charts import HELM
from tests.databases import new_database
from tests.service import eventually, free_port
from tests.system.dockerfile import Stage, build, command, instructions

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


@pytest.fixture(scope="module")
def image(database_url: str) -> Iterator[Stage]:
    """The last stage, built; the database of the run can be reached from inside."""
    # Beside the database's socket, of which it gets a second name: so on the same file system.
    with tempfile.TemporaryDirectory(prefix="staging-image-") as scratch:
        made = build(DOCKERFILE, HELM.parent / "root", Path(scratch))
        folder = make_url(database_url).query.get("host")
        if isinstance(folder, str):
            inside = made.root / folder.lstrip("/")
            inside.mkdir(parents=True)
            for socket in Path(folder).glob(".s.PGSQL.*[0-9]"):
                os.link(socket, inside / socket.name)
        yield made


def test_it_runs_as_a_user_without_rights(image: Stage):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)
    done = image.run(["sh", "-c", "touch /opt/staging-api/x || touch /usr/x || touch /etc/x"])
    assert done.returncode != 0
    assert image.run(["sh", "-c", "touch /var/lib/staging-api/x /srv/staging/x"]).returncode == 0


def test_every_verb_of_the_chart_is_there(image: Stage):
    for verb in ("api", "worker", "migrate"):
        assert image.run([*command(image, "ENTRYPOINT"), verb, "--help"]).returncode == 0


def test_the_installed_package_is_whole_and_has_its_extras(image: Stage):
    script = (
        "import staging_api, keystonemiddleware, opentelemetry.sdk;"
        "assert '/opt/staging-api/' in staging_api.__file__;"
        "from staging_api.artifacts.catalogue import Catalogue; Catalogue.load(None)"
    )
    done = image.run(["python", "-c", script])
    assert done.returncode == 0, done.stderr


def test_it_leaves_out_what_only_builds_need(image: Stage):
    assert not (image.root / "src").exists()
    assert not list((image.root / "opt/staging-api").glob("lib/*/site-packages/pytest"))


def test_it_migrates_a_database_twice_and_serves_it(image: Stage, database_url: str):
    start = command(image, "ENTRYPOINT")
    with new_database(database_url) as url:
        env = {"STAGING_DATABASE_URL": url}
        for _ in range(2):
            done = image.run([*start, "migrate"], **env)
            assert done.returncode == 0, done.stderr
            assert "the database is at schema" in done.stdout
        port = free_port()
        served = {**env, "STAGING_BIND": f"127.0.0.1:{port}"}
        server = subprocess.Popen(
            [
                *("chroot", f"--userspec={image.user}", image.root),
                *("/opt/staging-api/bin/staging-api", *command(image, "CMD")),
            ],
            env={**os.environ, **image.env, **served},
        )
        try:
            probe = [part.replace("8080", str(port)) for part in command(image, "HEALTHCHECK")]
            eventually(lambda: image.run(probe).returncode == 0, "it does not get healthy")
        finally:
            server.terminate()
            assert server.wait(60) == 0
        assert image.run(probe).returncode != 0


def test_it_refuses_to_be_open_to_all_by_mistake(image: Stage, database_url: str):
    """The image listens on every address, so somebody has to say who may call."""
    with new_database(database_url) as url:
        start = command(image, "ENTRYPOINT")
        image.run([*start, "migrate"], STAGING_DATABASE_URL=url)
        done = image.run([*start, "api"], STAGING_DATABASE_URL=url)
    assert done.returncode != 0
    assert "STAGING_AUTH_NONE_ANYWHERE" in done.stderr


def test_both_stages_start_from_one_pinned_base():
    words = list(instructions(DOCKERFILE.read_text()))
    assert [rest.split()[0] for word, rest in words if word == "FROM"] == ["${BASE}"] * 2
    (base,) = [rest for word, rest in words if word == "ARG" and rest.startswith("BASE=")]
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-\w+", base)
    assert "LABEL" in dict(words)
