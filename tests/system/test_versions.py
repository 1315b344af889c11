"""The version before this one on this version's schema: migrations only add what it ignores.

Pods of both versions work side by side, as during an upgrade, and after a rollback of the code.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from staging_api.client.client import StagingClient
from staging_api.errors import NotFound
from tests import version_before
from tests.builds import FULL_PAYLOAD, Objects, build, build_path
from tests.databases import Migrated
from tests.packages import control_text, deb
from tests.service import Pod, Service, service
from tests.source import ArchiveSource, archive_source

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the unpacked previous version."""
    return version_before.unpacked(tmp_path_factory.mktemp("before"))


@pytest.fixture
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture
def pods(migrated: Migrated, source: ArchiveSource, tmp_path: Path) -> Iterator[Service]:
    """Yield a service on the schema of this version, without pods yet."""
    with migrated() as url, service(tmp_path, url, f"{source.url}/") as made:
        yield made


def started(pods: Service, verb: str, code: Path | None = None) -> Pod:
    pods.code = code
    return pods.api()[0] if verb == "api" else pods.worker()


def serves(pod: Pod, archive_url: str, objects: Objects, folder: Path) -> None:
    """Run the whole life of a build through this pod, by the client of this version."""
    path = "/".join(archive_url.split("/")[3:])
    with StagingClient(pod.url) as client:
        staging = client.stage(archive_url, timeout=60)
        assert client.wait(staging.id, timeout=60).state == "staged"
        fetched = client.download(f"{path}/update.gz", folder / "update.gz")
        assert fetched.read_bytes() == objects[FULL_PAYLOAD]
        shown = [event.to_state for event in client.events(staging.id) if event.kind == "staging"]
        assert shown[-1] == "staged"
        assert [lock.scope for lock in client.locks("all", scope=archive_url)]
        payload = next(a for a in client.artifacts(archive_url=archive_url, name="full_payload"))
        client.pin(payload.id, datetime.now(UTC) + timedelta(hours=1))
        client.pin(payload.id, None)
        assert client.evict(payload.id).state == "evicted"
        with pytest.raises(NotFound):
            client.download(f"{path}/update.gz", folder / "again")
        assert client.stage(archive_url, timeout=60).state in {"foreground_staged", "staged"}


def publishes(pod: Pod, name: str, folder: Path) -> None:
    """Run the life of an APT archive, from its creation to the reads of its clients."""
    package = folder / f"{name}_1.0_amd64.deb"
    package.write_bytes(deb(control_text(name, "1.0")))
    with StagingClient(pod.url) as client:
        suite = {"name": "stable", "components": ["main"], "architectures": ["amd64"]}
        client.archives.create(name, [suite], forms=["plain"])
        client.archives.upload(name, "stable", [package])
        run = client.archives.publish("publish-ftpmaster", name, timeout=60)
        assert run.state == "succeeded"
        copy = folder / f"copy of {name}"
        client.archives.export(name, copy)
    listed = (copy / "dists/stable/main/binary-amd64/Packages").read_text()
    assert f"Package: {name}\n" in listed
    (pooled,) = copy.glob("pool/**/*.deb")
    assert pooled.read_bytes() == package.read_bytes()


def test_the_version_before_serves_on_this_schema(
    before: Path, pods: Service, source: ArchiveSource, tmp_path: Path
):
    objects = build("before")
    started(pods, "worker", before)
    api = started(pods, "api", before)
    serves(api, source.add(build_path(), objects), objects, tmp_path)
    publishes(api, "before", tmp_path)


@pytest.mark.parametrize("api_is_old", [True, False])
def test_both_versions_work_side_by_side(
    before: Path, pods: Service, source: ArchiveSource, tmp_path: Path, api_is_old: bool
):
    objects = build("both")
    started(pods, "worker", None if api_is_old else before)
    api = started(pods, "api", before if api_is_old else None)
    serves(api, source.add(build_path(), objects), objects, tmp_path)
    other = started(pods, "api", None if api_is_old else before)
    publishes(api, "one", tmp_path)
    publishes(other, "other", tmp_path)
