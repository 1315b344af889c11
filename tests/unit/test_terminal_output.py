"""The command line: no text of the service acts on the terminal; days beyond the calendar."""

import pytest

from staging_api.cli import main
from staging_api.cli.display import ProgressLines
from staging_api.cli.documents.changes import print_changes
from staging_api.cli.documents.messages import print_messages
from staging_api.cli.publish.options import print_lines

#: Sets the title of a window; reverses the text behind it.
ACTING = "\x1b]0;title\x07\u202e"
SHOWN = r"\x1b]0;title\x07\u202e"


def test_messages_about_documents(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"schema": "a/B/v1", "name": f"name {ACTING}"}
    print_messages([{"level": "Error", "message": f"wrong {ACTING}", "documents": [document]}])
    assert capsys.readouterr().err == f"error: wrong {SHOWN} (a/B/v1 name {SHOWN})\n"


def test_changes_of_documents(capsys: pytest.CaptureFixture[str]) -> None:
    change = {
        "collection": "one",
        "document": {"schema": "a/B/v1", "name": f"name {ACTING}", "layer": None},
        "change": "modified",
        "moved_from": None,
        "paths": [{"path": ".data", "change": "created", "old": None, "new": "\u202e"}],
        "text": f"+{ACTING}",
    }
    print_changes([change])
    print_changes([change], unified=True)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert out.count(SHOWN) == 3


def test_lines_of_the_publisher_and_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines({}, [f"rejected {ACTING}"], as_json=False)
    ProgressLines().note(f"failed {ACTING}")
    assert capsys.readouterr() == (f"rejected {SHOWN}\n", f"failed {SHOWN}\n")


@pytest.mark.parametrize("days", ["1e10", "inf", "nan"])
def test_days_beyond_the_calendar_are_a_wrong_command_line(
    days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["pin", "01J0000000000000000000000A", "--days", days])
    assert ended.value.code == 2
    assert "ends on no day of the calendar" in capsys.readouterr().err
