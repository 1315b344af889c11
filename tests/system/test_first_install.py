"""The ten lines of docs/how-to/kubernetes.md, run word for word, as far as no cluster is needed.

Stand-in programs that record their arguments replace docker, and commands that need a cluster;
kubectl and helm write what they would send. The last line stages a build at a pod with the rendered
settings, after the rendered migration has run as a role that only owns its database.
"""

import base64
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import psycopg2
import pytest
import yaml
from sqlalchemy import make_url

from tests.builds import build
from tests.charts import HELM, KUBECTL, KUBERNETES, schemas_read_once
from tests.service import Service, service
from tests.source import archive_source

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

_ROOT = Path(__file__).parents[2]
_BUILD = "board/R17-1208.0.0"
#: Addresses in the document that the reader replaces.
_SOURCE = "https://builds.example.org/archive"
_DATABASE = "postgresql://staging:...@db.example.org/staging"

_PROGRAMS = {
    "docker": 'echo "docker $*" >> noted',
    "kubectl": f"""
        case " $* " in
            *" create "*) {KUBECTL} "$@" --dry-run=client -o yaml >> created; echo --- >> created;;
            *) echo "kubectl $*" >> noted;;
        esac""",
    "helm": f"""
        case " $* " in
            *" install "*)
                words=()
                for word in "$@"; do
                    [ "$word" != install ] || word=template
                    words+=("$word")
                done
                {HELM} "${{words[@]}}" > rendered;;
            *) echo "helm $*" >> noted;;
        esac""",
    "staging-api": f'PYTHONPATH={_ROOT} exec {sys.executable} -m staging_api "$@"',
}


@dataclass(frozen=True)
class Installed:
    """The results of the lines.

    Attributes:
        last: the last line, not yet run.
        noted: command lines of the programs that need a cluster or a registry.
        created: manifests that kubectl would have created.
        rendered: manifests that helm would have installed.
    """

    folder: Path
    last: str
    noted: list[str]
    created: list[dict[str, Any]]
    rendered: list[dict[str, Any]]

    def secret(self, name: str, key: str) -> str:
        """Return the value that a pod reads from this key of a Secret."""
        (found,) = [
            d for d in self.created if (d["kind"], d["metadata"]["name"]) == ("Secret", name)
        ]
        return base64.b64decode(found["data"][key]).decode()

    def pods(self) -> Mapping[str, dict[str, Any]]:
        """Return the pod of each Deployment and Job, by the verb of its command."""
        pods = [
            d["spec"]["template"]["spec"] for d in self.rendered if "template" in d.get("spec", ())
        ]
        return {pod["containers"][0]["args"][0]: pod for pod in pods}

    def environment(self, verb: str) -> Mapping[str, str]:
        """Return the environment that Kubernetes would give the pod."""
        (container,) = self.pods()[verb]["containers"]
        config = {
            d["metadata"]["name"]: d["data"] for d in self.rendered if d["kind"] == "ConfigMap"
        }
        given: dict[str, str] = {}
        for source in container.get("envFrom", []):
            given |= config[source["configMapRef"]["name"]]
        for variable in container["env"]:
            shown = variable.get("valueFrom", {}).get("secretKeyRef")
            given[variable["name"]] = (
                self.secret(shown["name"], shown["key"]) if shown else variable["value"]
            )
        return given


def lines() -> list[str]:
    """Return the commands of the first block, one per line."""
    text = (_ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
    (block, *_) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    joined = block.replace("\\\n", " ")
    assert all(line.startswith("$ ") for line in joined.splitlines())
    assert len(block.splitlines()) <= 11
    return [line.removeprefix("$ ") for line in joined.splitlines()]


@pytest.fixture(scope="module")
def owned_url(database_url: str) -> Iterator[str]:
    """Yield the URL of a database as its owner, a role with no other permissions."""
    superuser = make_url(database_url)
    name = "staging_newcomer"
    dsn = superuser.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(dsn)) as conn:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {name} LOGIN")
            cursor.execute(f"CREATE DATABASE {name} OWNER {name}")
            yield superuser.set(username=name, password=None, database=name).render_as_string(False)
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
            cursor.execute(f"DROP ROLE {name}")


@pytest.fixture(scope="module")
def source_url() -> Iterator[str]:
    with archive_source() as source:
        source.add(_BUILD, build("first"))
        yield source.url


@pytest.fixture(scope="module")
def installed(
    owned_url: str, source_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    folder = tmp_path_factory.mktemp("install")
    (folder / "charts").symlink_to(_ROOT / "charts")
    for name, does in _PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/bash\nset -e\n{does}\n")
        (folder / name).chmod(0o755)
    *run, last = [
        line.replace(_SOURCE, source_url).replace(_DATABASE, owned_url) for line in lines()
    ]
    for line in run:
        shell(folder, line)
    return Installed(
        folder=folder,
        last=last,
        noted=(folder / "noted").read_text().splitlines(),
        created=documents(folder / "created"),
        rendered=documents(folder / "rendered"),
    )


def shell(folder: Path, line: str, **environment: str) -> None:
    """Run a line in a shell, as its reader does."""
    path = {"PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-euc", line + "\nwait"],
        cwd=folder,
        env={**path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def documents(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


@pytest.mark.parametrize("version", KUBERNETES)
def test_everything_that_they_make_is_valid(installed: Installed, version: str):
    with schemas_read_once():
        for document in [*installed.created, *installed.rendered]:
            kubernetes_validate.validate(document, version, strict=True)


def test_every_object_that_the_lines_name_is_made_by_them(installed: Installed):
    """The objects: namespace, image, Secrets with their keys, the Service and a test."""
    (namespace,) = [d["metadata"]["name"] for d in installed.created if d["kind"] == "Namespace"]
    own = {d["metadata"]["namespace"] for d in installed.created if d["kind"] == "Secret"}
    assert own == {namespace}
    build, push, check, forward = (shlex.split(line) for line in installed.noted)
    assert build[:3] == ["docker", "build", "-t"]
    assert (_ROOT / "Dockerfile").is_file()
    assert push[:2] == ["docker", "push"]
    for pod in installed.pods().values():
        assert {container["image"] for container in pod["containers"]} == {build[3], push[2]}
    assert check == ["helm", "-n", namespace, "test", "staging"]
    assert any(
        d["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"
        for d in installed.rendered
    )
    (served,) = [d for d in installed.rendered if d["kind"] == "Service"]
    ports = f"8080:{served['spec']['ports'][0]['port']}"
    whole = ["kubectl", "-n", namespace, "port-forward", f"service/{served['metadata']['name']}"]
    assert forward == [*whole, ports]


def test_the_volumes_of_pods_are_secrets_that_were_made(installed: Installed):
    pods = installed.pods()
    assert set(pods) == {"migrate", "api", "worker"}
    named = [
        volume["secret"]["secretName"]
        for pod in pods.values()
        for volume in pod["volumes"]
        if "secret" in volume
    ]
    made = {d["metadata"]["name"] for d in installed.created if d["kind"] == "Secret"}
    assert named
    assert set(named) <= made


@pytest.fixture
def pods(installed: Installed) -> Iterator[Service]:
    """Yield a migrated service with the rendered settings, but its own addresses and folders."""
    settings = installed.environment("api")
    mounted = Path(settings["STAGING_TOKENS_FILE"])
    tokens = installed.folder / mounted.name
    tokens.write_text(installed.secret("staging-tokens", mounted.name))
    tokens.chmod(0o600)
    ours = {"STAGING_BIND", "STAGING_WORKER_BIND", "STAGING_HOME", "STAGING_STORE"}
    given = {
        name.removeprefix("STAGING_").lower(): value
        for name, value in {**settings, "STAGING_TOKENS_FILE": str(tokens)}.items()
        if name not in {*ours, "STAGING_SOURCES", "STAGING_DATABASE_URL"}
    }
    migration = installed.environment("migrate")
    shell(installed.folder, "staging-api migrate", **migration)
    url = settings["STAGING_DATABASE_URL"]
    with service(installed.folder, url, settings["STAGING_SOURCES"], **given) as made:
        yield made


def test_the_last_one_stages_a_build(installed: Installed, pods: Service):
    (pod,) = pods.api()
    assert _BUILD in installed.last
    shell(installed.folder, installed.last, STAGING_SERVER=pod.url)
    _, program, arguments = installed.last.partition("staging-api")
    with pytest.raises(AssertionError, match="credential"):
        shell(installed.folder, program + arguments, STAGING_SERVER=pod.url)
