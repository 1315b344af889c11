"""Output to a terminal: control sequences from the service have no effect; very late dates."""

import pytest
from rich.console import Console
from rich.progress import Progress

from staging_api.cli import locks, main
from staging_api.cli.display import ProgressBars, ProgressLines, _clock
from staging_api.cli.documents.changes import print_changes
from staging_api.cli.documents.messages import print_messages
from staging_api.cli.output import print_lines
from staging_api.client import Lock, Staging
from tests.scripted_service import artifact, lock, staging

#: Sets the title of a window; reverses the direction of the text after it.
ACTING = "\x1b]0;title\x07\u202e"
SHOWN = r"\x1b]0;title\x07\u202e"


def test_messages_about_documents(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"schema": "a/B/v1", "name": f"name {ACTING}"}
    print_messages([{"level": "Error", "message": f"wrong {ACTING}", "documents": [document]}])
    assert capsys.readouterr().err == f"error: wrong {SHOWN} (a/B/v1 name {SHOWN})\n"


def test_changes_of_documents(capsys: pytest.CaptureFixture[str]) -> None:
    change = {
        "collection": f"one {ACTING}",
        "document": {"schema": "a/B/v1", "name": f"name {ACTING}", "layer": None},
        "change": "modified",
        "moved_from": None,
        "paths": [
            {"path": f".data['{ACTING}']", "change": "created", "old": None, "new": "\u202e"}
        ],
        "text": f"+{ACTING}",
    }
    print_changes([change])
    print_changes([change], unified=True)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert out.count(SHOWN) == 6


def test_lines_of_the_publisher_and_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines({}, [f"rejected {ACTING}"], as_json=False)
    ProgressLines().note(f"failed {ACTING}")
    assert capsys.readouterr() == (f"rejected {SHOWN}\n", f"failed {SHOWN}\n")


def test_artifacts_of_which_the_same_is_said_share_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = {"code": "archive_not_found", "message": "no such archive", "retryable": False}
    artifacts = [
        artifact(id=name, name=name, state="failed", error=error) for name in ("one", "two")
    ]
    artifacts.insert(1, artifact(id="three", name="three", state="staged", size_bytes=2))
    shown = ProgressLines()
    for _ in range(2):
        shown.show(Staging.of(staging("running", artifacts=artifacts)))
    lines = ["one, two: failed: no such archive", "three: staged 2 bytes"]
    assert capsys.readouterr().err.splitlines()[1:] == lines


def test_bars_of_artifacts(capsys: pytest.CaptureFixture[str]) -> None:
    states = {"staging": 5, "staged": 12_300_000, ACTING: 7}
    artifacts = [
        artifact(id=str(number), name=f"name {ACTING}", state=state, size_bytes=12_300_000)
        for number, state in enumerate(states)
    ]
    with Progress(console=Console(stderr=True)) as progress:
        shown = ProgressBars(progress)
        shown.show(Staging.of(staging("running", artifacts=artifacts)))
        tasks = progress.tasks
    assert {each.description for each in tasks} == {f"name {SHOWN}"}
    assert [each.fields["state"] for each in tasks] == ["staging", "staged", SHOWN]
    # The progress of an expected total, and the amount once everything has arrived.
    assert [each.fields["bytes"] for each in tasks] == [
        "10 bytes of 10 bytes",
        "12.3 MB",
        "10 bytes of 10 bytes",
    ]
    assert "\x1b]" not in capsys.readouterr().err


def test_locks_on_the_screen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    with locks._screen(as_json=False) as show:
        show([Lock.of(lock(holder=f"holder {ACTING}"))])
    out = capsys.readouterr().out
    assert f"holder {SHOWN}" in out
    assert ACTING not in out


@pytest.mark.parametrize("days", ["1e10", "inf", "nan"])
def test_days_beyond_the_calendar_are_a_wrong_command_line(
    days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["pin", "01J0000000000000000000000A", "--days", days])
    assert ended.value.code == 2
    assert "ends on no day of the calendar" in capsys.readouterr().err


@pytest.mark.parametrize("time", [None, "soon", 7, "0001-01-01T00:00:00+14:00"])
def test_a_time_that_cannot_be_shown_is_said_to_be_unknown(time: object) -> None:
    assert _clock(time) == "an unknown time"
