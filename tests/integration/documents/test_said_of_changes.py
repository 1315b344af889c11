"""Output of the verbs that change documents: one line about the change."""

import json
from pathlib import Path
from typing import Any

import pytest

from staging_api.cli import main
from staging_api.cli.exits import REFUSED
from tests.scripted_service import in_turn, says, service

BUFFER = {"revision": 7, "collections": ["site", "secrets"]}
RESULT: dict[str, Any] = {
    "status": "Success",
    "revision": 7,
    "digest": "abc",
    "message": "it is done",
    "details": {"messageList": [{"level": "Warning", "message": "careful", "documents": []}]},
}
BUILT = {
    "confirm_until": "ten",
    "builds": [{"state": "queued", "archive_url": "b"}],
}


def ran(capsys: pytest.CaptureFixture[str], answer: object, *arguments: str) -> tuple[int, Any]:
    """Run a verb against this response; return the exit code and the output."""
    with service(in_turn(says(200, answer))) as running, pytest.raises(SystemExit) as ended:
        main(["documents", *arguments, "--server", running.url])
    return int(ended.value.code or 0), capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "answer", "said"),
    [
        ("confirm 7", {}, "revision 7 is confirmed"),
        ("discard site", BUFFER, "revision 7 changes site, secrets"),
        ("rollback 3", {**BUFFER, "collections": []}, "revision 7 changes nothing"),
        ("tag 7 good", {}, "revision 7 is tagged good"),
        ("tag 7 good --remove", {}, "revision 7 has no tag good any more"),
        ("site-action success", {"number": 7}, "a site action on revision 7: success"),
        ("create site --empty", RESULT, "revision 7, digest abc: it is done"),
        (
            "commit",
            {**RESULT, **BUILT},
            "revision 7, digest abc: it is done, undone at ten unless it is confirmed\n  queued b",
        ),
    ],
)
def test_a_change_is_printed_as_a_line_or_as_json(
    arguments: str, answer: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "warning: careful\n" if "details" in answer else ""
    assert ran(capsys, answer, *arguments.split()) == (0, (f"{said}\n", warning))
    code, shown = ran(capsys, answer, *arguments.split(), "--json")
    assert (code, json.loads(shown.out), shown.err) == (0, answer, "")


def test_messages_about_a_file_that_is_put_into_the_buffer_name_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("a: 1\n")
    message = {"level": "Error", "message": "wrong", "diagnostic": json.dumps({"line": 1})}
    named = [{"schema": "a/B/v1", "name": "one", "collection": "site"}]
    details = {"messageList": [{**message, "documents": named}]}
    code, shown = ran(capsys, {**RESULT, "details": details}, "create", "site", str(file))
    assert (code, shown.out) == (0, "revision 7, digest abc: it is done\n")
    assert shown.err.startswith(f"{file}:1: error: wrong")


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [("--dryrun", "Failure", REFUSED), ("--dryrun", "Success", 0), ("--force", "Failure", 0)],
)
def test_only_a_dry_run_that_finds_errors_is_refused(
    arguments: str, status: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(capsys, {**RESULT, "status": status}, "commit", arguments)[0] == code
