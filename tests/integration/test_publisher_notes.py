"""Progress of a publisher run, printed while the request waits for the end of the run."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from staging_api.cli.publish.operations import RunNotes
from staging_api.client import StagingClient
from tests.scripted_service import Seen, Step, in_turn, problem, says, service

MARKER = UUID("5f0c6a4e-0000-4000-8000-000000000001")
RUN_ID, OTHER_ID = "01JD000000000000000000000R", "01JD000000000000000000000Q"


def run(phase: str | None, items_total: int | None = None, **members: object) -> dict[str, object]:
    return {
        "id": RUN_ID,
        "operation": "publish-distro",
        "archive": "example",
        "state": "running",
        "started_at": "2026-11-22T09:00:00Z",
        "phase": phase,
        "items_total": items_total,
        "reference_id": str(MARKER),
        **members,
    }


def listed(*runs: dict[str, object]) -> Step:
    return says(200, {"items": list(runs), "next": None})


OTHER = run("index", id=OTHER_ID, reference_id="of-another")
#: The service's response at each look.
LOOKS = (
    listed(OTHER),
    says(503, problem("unavailable", retryable=False)),
    listed(OTHER, run(None)),
    listed(run("index", 12), OTHER),
    listed(run("index", 12)),
    listed(run("live")),
)


@pytest.fixture
def watcher() -> Iterator[StagingClient]:
    with (
        service(in_turn(*LOOKS)) as running,
        StagingClient(running.url, timeout=5, context_marker=MARKER) as client,
    ):
        yield client


def test_a_run_is_named_once_and_each_of_its_phases_once(
    watcher: StagingClient, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = RunNotes(watcher, "example", as_json=False)
    printed, known = [], []
    for _ in LOOKS:
        notes()
        printed.append(capsys.readouterr())
        known.append(notes.run_id)
    assert known == [None, None, RUN_ID, RUN_ID, RUN_ID, RUN_ID]
    assert [each.err for each in printed] == [
        *("", "", f"run {RUN_ID}\n", "index, 12 to do\n", "", "live\n")
    ]
    # Only the result is written to standard output.
    assert {each.out for each in printed} == {""}


def test_where_the_output_is_json_the_run_is_known_and_nothing_is_printed(
    watcher: StagingClient, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = RunNotes(watcher, "example", as_json=True)
    for _ in LOOKS:
        notes()
    assert notes.run_id == RUN_ID
    assert capsys.readouterr() == ("", "")


def test_only_the_ten_newest_runs_are_looked_at() -> None:
    def script(seen: Seen) -> Step:
        assert "limit=10" in seen.path
        others = [run("index", id=f"{OTHER_ID[:-2]}{n:02}", reference_id="x") for n in range(10)]
        return listed(*others, run("index"))

    with (
        service(script) as running,
        StagingClient(running.url, timeout=5, context_marker=MARKER) as client,
    ):
        notes = RunNotes(client, "example", as_json=True)
        notes()
    assert len(running.seen) == 1
    assert notes.run_id is None
