"""Devserver clients that ask during the upload of a build, and treat "not there" as final."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from staging_api.db.engine import Database
from tests.builds import build, build_path
from tests.devserver_client import DevServer2012, DevServer2013, DevServerError
from tests.rows import select
from tests.service import Pod, Service, eventually, service
from tests.source import ArchiveSource


@pytest.fixture(scope="module")
def pod(
    cluster: Service,
    cluster_url: str,
    _source: ArchiveSource,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """Yield a pod that polls missing objects often."""
    settings = {"upload_poll_seconds": "0.2", "store": f"file://{cluster.store}"}
    folder = tmp_path_factory.mktemp("uploads")
    with service(folder, cluster_url, f"{_source.url}/", **settings) as pods:
        pods.worker()
        yield pods.api()[0]


def is_waited_for(rows: Database, url: str) -> bool:
    waits = "SELECT 1 FROM stagings WHERE archive_url = :u AND upload_wait_began_at IS NOT NULL"
    return bool(select(rows, waits, u=url))


def test_a_build_of_which_nothing_is_there_yet_is_waited_for(
    pod: Pod, source: ArchiveSource, rows: Database
) -> None:
    path = build_path()
    url = source.add(path, {})
    with ThreadPoolExecutor(2) as pool:
        old = pool.submit(DevServer2012(pod.url).trigger_download, url)
        eventually(lambda: is_waited_for(rows, url), "no request waits")
        new = pool.submit(DevServer2013(pod.url).stage, url, ["stateful"])
        source.add(path, build())
        old.result()
        new.result()
    assert set(source.begun(url).values()) == {1}


def test_upload_wait_of_zero_does_not_wait(pod: Pod, source: ArchiveSource) -> None:
    url = source.add(build_path(), {})
    with pytest.raises(DevServerError, match="UPLOADED"):
        DevServer2012(pod.url).call("download", archive_url=url, upload_wait_seconds=0)


def test_objects_missing_from_the_manifest_are_not_waited_for(
    pod: Pod, source: ArchiveSource
) -> None:
    url = source.add(build_path(), build())
    with pytest.raises(DevServerError, match="file:nothing"):
        DevServer2013(pod.url).stage(url, files=["nothing.bin"])


@pytest.mark.parametrize("wrong", ["-1", "soon", "1e9"])
def test_a_wait_must_be_a_number_of_seconds(pod: Pod, source: ArchiveSource, wrong: str) -> None:
    url = source.add(build_path(), {})
    with pytest.raises(DevServerError, match="upload_wait_seconds"):
        DevServer2012(pod.url).call("download", archive_url=url, upload_wait_seconds=wrong)
