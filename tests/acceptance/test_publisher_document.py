"""Commands of docs/explanation/publisher.md: each has the effect that the page describes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from staging_api.cli import main
from staging_api.cli.publish import ACTIONS
from tests.apt_archive_api import AptArchiveApi
from tests.keys import signing_key, stop_agent
from tests.packages import control_text, deb
from tests.service import API, Client, service

DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "publisher.md"
INDEX = "dists/stable/main/binary-amd64/Packages"

#: Packages of the suite that clients see, by the command after which they see them.
SEEN = {
    6: {"hello 2.0", "world 1.0"},
    11: {"hello 1.0"},
    13: {"hello 2.0", "world 1.0"},
    16: {"hello 2.0", "world 1.0"},
    18: {"hello 2.0"},
}


def block(heading: str, number: int = 0) -> list[str]:
    """Return the lines of a block below a heading, without the prompt."""
    text = DOCUMENT.read_text().partition(f"\n{heading}\n")[2]
    found = re.findall(r"```console\n(.*?)```", text, re.DOTALL)[number]
    return [line.removeprefix("$ ") for line in found.splitlines()]


def commands() -> list[list[str]]:
    """Return the commands of the first block below the heading, without `staging-api`."""
    lines = block("## Commands")
    return [shlex.split(line.removeprefix("staging-api ")) for line in lines]


def typed(line: str, folder: Path, server: str, **words: str) -> str:
    """Run a shell command, which must succeed; return its output."""
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {"PATH": programs, "STAGING_SERVER": server, "APT": f"{server}{API}"}
    for word, value in words.items():
        line = line.replace(word, value)
    done = subprocess.run(
        line, shell=True, cwd=folder, env=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


def seen(client: Client, name: str) -> set[str]:
    index = client.get(f"/archive/{name}/{INDEX}").body.decode()
    return {" ".join(found) for found in re.findall(r"Package: (\S+)\nVersion: (\S+)", index)}


def test_every_action_of_the_command_line_is_among_them() -> None:
    assert {arguments[1] for arguments in commands()} == ACTIONS.keys()


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
    name = f"{AptArchiveApi.make(client).name}-of-the-document"
    generation = ""
    for number, typed in enumerate(commands(), start=1):
        names = {"tools": name, "GENERATION": generation}
        with pytest.raises(SystemExit) as ended:
            main([names.get(word, word) for word in typed])
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


def test_the_requests_without_a_command_do_what_the_document_says(
    client: Client, tmp_path: Path
) -> None:
    archive = AptArchiveApi.make(client)
    first = archive.published()["generation_id"]
    for package, version in (
        ("hello", "3.0"),
        ("world", "3.0"),
        ("hello", "1.0"),
        ("world", "1.0"),
    ):
        raw = deb(control_text(package, version))
        (tmp_path / f"{package}_{version}_amd64.deb").write_bytes(raw)
        if version == "1.0":
            archive.upload(f"{package}.deb", raw)
    archive.published()
    words = {"tools": archive.name, "GENERATION": first, "UPLOAD": ""}
    for line in block("## Commands", 1):
        said = typed(line, tmp_path, client.url, **words)
        if "publish upload" in line:
            (waiting, *_) = client.get(f"{archive.path}/uploads").json["items"]
            words["UPLOAD"] = waiting["id"]
            assert waiting["state"] == "unapproved"
        elif "?state=unapproved" in line:
            assert [each["id"] for each in json.loads(said)["items"]] == [words["UPLOAD"]]
        elif "/pin" in line:
            assert bool(json.loads(said)["pinned_at"]) == ("-X PUT" in line)
    release = archive.get("dists/sid/Release").body.decode()
    assert "\nLabel: Tools\n" in release
    assert "\nValid-Until: " in release
    listed = client.get(f"{archive.path}/packages?suite=unstable").json["items"]
    assert [(each["package"], each["version"]) for each in listed] == [("hello", "3.0")]


@pytest.mark.system
def test_a_key_is_changed_as_the_document_says(own_url: str, tmp_path: Path) -> None:
    with TemporaryDirectory(prefix="gpg-") as home:
        key = signing_key(tmp_path)
        shutil.copytree(key.home, home, dirs_exist_ok=True, ignore=ignore_sockets)
        store = f"file://{tmp_path}/store"
        words = {"/srv/gpg": home}
        made, export, find, serve, publish = block("### Changing the key")
        assert serve.endswith(" staging-api serve &")
        (tmp_path / "one").mkdir()
        signs = {"signing_home": home, "signing_key": key.fingerprint}
        with service(tmp_path / "one", own_url, store=store, **signs) as pods:
            (pod,) = pods.api()
            archive = AptArchiveApi.make(pod.client)
            archive.upload("a.deb", deb(control_text("hello")))
            archive.published()
        for line in (made, export):
            typed(line, tmp_path, "http://none", **words)
        fingerprint = typed(find, tmp_path, "http://none", **words).strip()
        (tmp_path / "two").mkdir()
        signs["signing_key"] = fingerprint
        with service(tmp_path / "two", own_url, store=store, **signs) as pods:
            (pod,) = pods.api()
            typed(publish, tmp_path, pod.url, tools=archive.name)
            signed = archive.at(pod.client).get("dists/stable/InRelease").body
        (tmp_path / "InRelease").write_bytes(signed)
        keyring = "gpg --dearmor < archive-2027.asc > archive-2027.gpg"
        typed(keyring, tmp_path, "http://none")
        typed("gpgv --keyring ./archive-2027.gpg InRelease", tmp_path, "http://none")
        stop_agent(Path(home))
        stop_agent(key.home)


def ignore_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_socket()]
