"""Command ``staging-api documents``: options of each action, and their documentation."""

import re
from pathlib import Path

import pytest

from staging_api.cli import main
from staging_api.cli.documents import documents

DOCS = Path(__file__).parents[3] / "docs"
ACTIONS = sorted(each.name or "" for each in documents.registered_commands)
COMMON = {"--help", "--json", "--server", "--timeout", "--token"}
OPTIONS = {
    "commit": {"--confirm-within", "--dryrun", "--force", "--reason", "--revision", "--stage"},
    "confirm": {"--reason"},
    "create": {"--empty", "--mode", "--reason"},
    "diff": {"--cleartext-secrets", "--rendered", "--unified"},
    "discard": {"--reason"},
    "get": {"--cleartext-secrets", "--rendered", "--version"},
    "history": {"--limit"},
    "lint": set(),
    "render": {"--cleartext-secrets", "--version"},
    "rollback": {"--over-buffer", "--reason"},
    "site-action": {"--data", "--reason", "--require-staged", "--revision"},
    "status": set(),
    "tag": {"--data", "--reason", "--remove"},
    "uses": {"--folder", "--version"},
    "why": {"--folder", "--version"},
}


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["documents", *words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_a_comparison_names_what_is_no_version_and_no_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for both in (["0", "hippo"], ["hippo", "0"]):
        with pytest.raises(SystemExit) as ended:
            main(["documents", "diff", *both])
        assert ended.value.code == 5
        assert "there is no folder or file hippo" in capsys.readouterr().err


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_has_its_own_options(capsys: pytest.CaptureFixture[str], action: str) -> None:
    text = help_of(capsys, action)
    found = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.MULTILINE))
    common = {"--help", "--json"} if action == "lint" else COMMON
    assert found == OPTIONS[action] | common
    assert "Exit codes:" in text


def test_help_and_docs_name_each_action(capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.findall(r"^  ([a-z-]+)  ", help_of(capsys), re.MULTILINE)
    assert sorted(listed) == ACTIONS
    page = (DOCS / "reference" / "documents-api.md").read_text().partition("## Command line\n")[2]
    page = page.partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `([a-z-]+)[^|]*` \|", page, re.MULTILINE)) == ACTIONS
    [line] = [
        each
        for each in (DOCS / "reference" / "command-line.md").read_text().splitlines()
        if each.startswith("| `documents create`")
    ]
    assert sorted(re.findall(r"`(?:documents )?([a-z-]+)`", line.split("|")[1])) == ACTIONS


@pytest.mark.parametrize(
    "words",
    [
        ["create", "site"],
        ["create", "site", "a.yaml", "--empty"],
        ["diff", "committed"],
        ["get"],
        ["get", "site", "--rendered"],
        ["render", "folder", "--version", "buffer"],
        ["tag", "1", "x", "--remove", "--data", "1"],
        ["rollback", "latest"],
        ["site-action", "perhaps"],
        ["commit", "--rendered"],
        ["hippo"],
    ],
)
def test_a_wrong_command_line_exits_with_2(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["documents", *words])
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
