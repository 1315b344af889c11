"""The image: built from the real Dockerfile by a container engine, and run as the chart runs it.

It runs read-only, without capabilities, as the image's own user, without a network: anything more
that its container needs, every cluster would have to provide.
"""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.builds import build
from tests.charts import HELM
from tests.databases import new_database
from tests.service import eventually
from tests.system.containers import Engine, engine

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
IMAGE = "staging-api:test"
_BUILD = "board/R17-1208.0.0"
#: Restrictions of the chart's pods: charts/staging-api/templates/_helpers.tpl.
RESTRICTED = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--tmpfs", "/tmp", "--tmpfs", "/var/lib/staging-api:uid=10001,gid=10001"),
    *("--tmpfs", "/srv/staging:uid=10001,gid=10001"),
)


@dataclass(frozen=True)
class Image:
    """The built image, and the engine that runs it.

    Attributes:
        sockets: a folder with the database's sockets; empty if it listens on TCP only.
    """

    engine: Engine
    sockets: Path

    def words(self, database: str | None = None, **env: str) -> list[str]:
        """Return the `docker run` arguments of a restricted container with this database."""
        words: list[str] = [*RESTRICTED]
        for name, value in env.items():
            words += ["--env", f"{name}={value}"]
        if database is None:
            return [*words, "--network", "none"]
        url = make_url(database)
        if any(self.sockets.iterdir()):
            url = url.update_query_dict({"host": "/run/database"})
            words += ["--network", "none", "--volume", f"{self.sockets}:/run/database"]
        else:
            words += ["--network", "host"]
        text = url.render_as_string(hide_password=False)
        return [*words, "--env", f"STAGING_DATABASE_URL={text}"]

    def run(
        self, *command: str, entrypoint: str | None = None, database: str | None = None, **env: str
    ) -> tuple[int, str]:
        """Run a command to its end; return its exit status and output."""
        first = ["--entrypoint", entrypoint] if entrypoint else []
        done = self.engine.run(
            *("run", "--rm", *self.words(database, **env), *first, IMAGE, *command), check=False
        )
        return done.returncode, done.stdout + done.stderr

    @contextmanager
    def container(self, *words: str) -> Iterator[str]:
        """Run a container in the background during the block; yield its id."""
        name = self.engine.run("run", "--detach", *words).stdout.strip()
        try:
            yield name
        finally:
            self.engine.run("rm", "--force", name)


@pytest.fixture(scope="module")
def image(database_url: str) -> Iterator[Image]:
    """Yield the image, with a folder of database sockets that the image's user may enter."""
    folder = make_url(database_url).query.get("host")
    # On the file system of the database's socket, so that the socket can be hard-linked.
    with (
        tempfile.TemporaryDirectory(prefix="staging-image-") as scratch,
        engine(Path(scratch)) as started,
    ):
        sockets = Path(scratch, "sockets")
        sockets.mkdir()
        Path(scratch).chmod(0o755)
        if isinstance(folder, str):
            for socket in Path(folder).glob(".s.PGSQL.*[0-9]"):
                os.link(socket, sockets / socket.name)
        (base := Path(scratch, "base")).mkdir()
        started.import_root(HELM.parent / "root", base, "debian-python:test")
        started.build(ROOT, IMAGE, BASE="debian-python:test")
        yield Image(started, sockets)


def test_it_runs_as_a_user_without_rights_who_can_write_nothing_of_the_image(image: Image):
    script = "id -u; grep CapBnd /proc/self/status; touch /opt/staging-api/x || touch /etc/x"
    status, output = image.run("-c", script, entrypoint="sh")
    assert status != 0
    assert output.startswith("10001\n")
    assert re.search(r"CapBnd:\s+0+\n", output)
    assert output.count("Read-only file system") == 2


def test_its_own_user_may_not_write_the_image_even_where_the_file_system_may_be_written(
    image: Image,
):
    script = "touch /opt/staging-api/x || touch /usr/x || touch /etc/x"
    done = image.engine.run(
        *("run", "--rm", "--network", "none", "--entrypoint", "sh", IMAGE, "-c", script),
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.count("Permission denied") == 3


def test_every_verb_of_the_chart_is_there(image: Image):
    for verb in ("api", "worker", "migrate"):
        status, output = image.run(verb, "--help")
        assert status == 0, output


def test_the_installed_package_is_whole_and_has_its_extras(image: Image):
    script = (
        "import staging_api, keystonemiddleware, opentelemetry.sdk;"
        "assert '/opt/staging-api/' in staging_api.__file__;"
        "from staging_api.catalogue.catalogue import Catalogue; Catalogue.load(None)"
    )
    status, output = image.run("-c", script, entrypoint="python")
    assert status == 0, output


def test_it_can_sign_archives(image: Image):
    made = (
        "mkdir -m 700 /tmp/k && cd /tmp && "
        "gpg --homedir /tmp/k --batch --passphrase '' --quick-generate-key x ed25519 sign && "
        "echo x | gpg --homedir /tmp/k --batch --clearsign | grep -c 'BEGIN PGP SIGNATURE'"
    )
    status, output = image.run("-c", made, entrypoint="sh")
    assert status == 0, output


def test_the_image_leaves_out_sources_and_test_tools(image: Image):
    script = "ls -d /src /opt/staging-api/lib/*/site-packages/pytest"
    status, output = image.run("-c", script, entrypoint="sh")
    assert status != 0
    assert output.count("No such file") == 2


def test_it_migrates_a_database_twice(image: Image, database_url: str):
    with new_database(database_url) as url:
        for _ in range(2):
            status, output = image.run("migrate", database=url)
            assert status == 0, output
            assert "the database is at schema" in output


def test_it_serves_a_build_says_that_it_is_healthy_and_stops_in_good_order(
    image: Image, database_url: str, tmp_path: Path
):
    for name, content in build().items():
        (tmp_path / "builds" / _BUILD / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "builds" / _BUILD / name).write_bytes(content)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    with new_database(database_url) as url:
        assert image.run("migrate", database=url)[0] == 0
        words = [
            *image.words(url, STAGING_AUTH_NONE_ANYWHERE="yes", STAGING_SOURCES="file:///builds/"),
            *("--volume", f"{tmp_path / 'builds'}:/builds:ro", IMAGE),
        ]
        with image.container(*words) as name:

            def inside(*command: str) -> str:
                return image.engine.run("exec", name, *command).stdout

            def health() -> str:
                shown = image.engine.run("inspect", "--format", "{{.State.Health.Status}}", name)
                return shown.stdout.strip()

            eventually(lambda: health() == "healthy", "it does not get healthy")
            staged = inside("staging-api", "stage", f"file:///builds/{_BUILD}", "--json")
            assert '"state": "staged"' in staged
            fetch = (
                "from urllib.request import urlopen as get;"
                f"print(get('http://127.0.0.1:8080/static/{_BUILD}/stateful.tgz').status)"
            )
            assert inside("python", "-c", fetch) == "200\n"
            began = time.monotonic()
            image.engine.run("stop", "--time", "60", name)
            # Sooner than the engine's kill timeout, so by SIGTERM; the status means success.
            assert time.monotonic() - began < 60
            status = image.engine.run("inspect", "--format", "{{.State.ExitCode}}", name).stdout
            assert status == "0\n", image.engine.run("logs", name).stderr


def test_it_refuses_to_be_open_to_all_by_mistake(image: Image, database_url: str):
    """The image listens on all addresses, so a setting must confirm that all may call."""
    with new_database(database_url) as url:
        assert image.run("migrate", database=url)[0] == 0
        status, output = image.run("api", database=url)
    assert status != 0
    assert "STAGING_AUTH_NONE_ANYWHERE" in output


def test_both_stages_start_from_one_pinned_base():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("FROM ")] == ["${BASE}"] * 2
    (base,) = [line for line in lines if line.startswith("ARG BASE=")]
    assert re.fullmatch(r"ARG BASE=python:3\.\d+-slim-\w+", base)
