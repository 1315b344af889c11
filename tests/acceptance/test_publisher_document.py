"""What docs/publisher.md tells people to type does what it says."""

import re
import shlex
from pathlib import Path

import pytest

from staging_api.cli import main
from staging_api.cli.publish import Action
from tests.archive_api import ArchiveApi
from tests.packages import control_text, deb
from tests.service import Client

DOCUMENT = Path(__file__).parents[2] / "docs" / "publisher.md"
INDEX = "dists/stable/main/binary-amd64/Packages"

#: Behind which commands clients see which packages of the suite.
SEEN = {
    6: {"hello 2.0", "world 1.0"},
    11: {"hello 1.0"},
    13: {"hello 2.0", "world 1.0"},
    16: {"hello 2.0", "world 1.0"},
    18: {"hello 2.0"},
}


def commands() -> list[list[str]]:
    """The first block behind the heading, without `staging-api`."""
    text = DOCUMENT.read_text().partition("## What people do with an archive")[2]
    block = re.search(r"```console\n(.*?)```", text, re.DOTALL)
    assert block
    return [shlex.split(line.removeprefix("$ staging-api ")) for line in block[1].splitlines()]


def seen(client: Client, name: str) -> set[str]:
    index = client.get(f"/archive/{name}/{INDEX}").body.decode()
    return {" ".join(found) for found in re.findall(r"Package: (\S+)\nVersion: (\S+)", index)}


def test_every_action_of_the_command_line_is_among_them() -> None:
    assert {arguments[1] for arguments in commands()} == {action.value for action in Action}


def test_the_commands_do_what_the_document_says(
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STAGING_SERVER", client.url)
    monkeypatch.chdir(tmp_path)
    for package, version in (("hello", "1.0"), ("hello", "2.0"), ("world", "1.0")):
        raw = deb(control_text(package, version))
        (tmp_path / f"{package}_{version}_amd64.deb").write_bytes(raw)
    name = f"{ArchiveApi.make(client).name}-of-the-document"
    generation = ""
    for number, typed in enumerate(commands(), start=1):
        told = {"tools": name, "GENERATION": generation}
        with pytest.raises(SystemExit) as ended:
            main([told.get(word, word) for word in typed])
        output = capsys.readouterr().out
        assert ended.value.code in (None, 0), typed
        if typed[1] == "create":
            client.send(
                "PATCH",
                f"/api/v1.0/apt-archives/{name}",
                b'{"forms": ["plain", "gz"]}',
                {"Content-Type": "application/json"},
            )
        if typed[1] == "generations":
            generation = output.splitlines()[-1].split()[0]
        if number in SEEN:
            assert seen(client, name) == SEEN[number], typed
    assert (tmp_path / "mirror" / INDEX).is_file()
