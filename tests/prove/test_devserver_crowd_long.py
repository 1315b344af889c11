"""A thousand old clients of fifty builds, ten of them missing, on one default pod."""

from pathlib import Path

import pytest

from tests.devserver_run import run
from tests.service import service
from tests.source import ArchiveSource, archive_source

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1200)]


@pytest.fixture
def source():
    with archive_source() as found:
        yield found


def test_no_client_is_refused(
    own_url: str, source: ArchiveSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two processes, with default pools and lease: a shorter lease can be lost on a busy machine,
    # and its build would rightly be fetched again.
    given = {"workers": "2", "database_pool_size": "10", "lease_seconds": "15"}
    with service(tmp_path, own_url, f"{source.url}/", **given) as pods:
        (pod,) = pods.api()
        pods.worker()
        found = run(source, pod.url, clients=1000, builds=50, absent=10, wait_seconds=20)
        with capsys.disabled():
            p50, p99 = (1000 * found.probes.percentile(share) for share in (0.5, 0.99))
            count = len(found.probes.seconds)
            print(f"\n/livez: {count} answers, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    assert found.refused == []
    assert found.wrong == []
    assert found.probes.failures == []
