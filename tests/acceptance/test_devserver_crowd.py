"""Many old clients on one pod with default settings; the long run is in `make prove`."""

from pathlib import Path

from tests.devserver_run import run
from tests.service import service
from tests.source import ArchiveSource


def test_no_client_of_a_crowd_is_refused_and_probes_answer(
    own_url: str, source: ArchiveSource, tmp_path: Path
) -> None:
    with service(tmp_path, own_url, f"{source.url}/") as pods:
        (pod,) = pods.api()
        found = run(source, pod.url, clients=100, builds=5, absent=1, wait_seconds=4)
    assert found.refused == []
    assert found.wrong == []
    assert found.probes.failures == []
