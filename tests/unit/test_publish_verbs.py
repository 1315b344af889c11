"""Verb ``staging-api publish``: arguments and options of each action, checked before a call."""

from pathlib import Path

import pytest

from staging_api.cli import main
from staging_api.cli.publish import operations, packages
from staging_api.errors import LockHeld

NOWHERE = ("--server", "http://127.0.0.1:1")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the message about a wrong command line."""
    with pytest.raises(SystemExit) as ended:
        main(["publish", *arguments, *NOWHERE])
    assert ended.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["list", "tools", "--careful"], "No such option: --careful"),
        (["publish-distro", "tools", "--reason", "x"], "No such option: --reason"),
        (["back", "tools"], "Missing argument 'ID'"),
        (["export", "tools"], "Missing argument 'FOLDER'"),
        (["remove", "tools", "hello"], "Missing option '--reason'"),
        (["remove", "tools", "hello", "--reason", ""], "--reason must say why"),
        (["upload", "tools"], "Missing argument 'FILE...'"),
        (["upload", "tools", "/no/such.deb"], "not a file: /no/such.deb"),
    ],
)
def test_an_action_refuses_options_of_others_and_misses_its_own(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("running", "whose"),
    [
        ({"operation": "publish-distro", "archive": "tools"}, " (publish-distro of tools)"),
        ({"operation": "publish-distro", "purpose": "undo", "archive": "a"}, " (undo of a)"),
        (None, ""),
    ],
)
def test_a_wait_for_another_run_says_what_it_is(
    running: object, whose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    operations._print_wait(LockHeld("it is held", extra={"publication": running}), 2.4)
    assert capsys.readouterr() == ("", f"it is held{whose}; trying again in 2 s\n")


@pytest.mark.parametrize("option", ["--suite", "--component"])
def test_an_upload_goes_to_one_suite_and_component(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "a.deb"
    package.write_bytes(b"")
    said = refused(capsys, "upload", "tools", str(package), option, "a", option, "b")
    assert f"{option} can be given only once" in said


@pytest.mark.parametrize(
    ("package", "printed"),
    [
        ({"state": "published", "listed": True}, "published"),
        ({"state": "published", "listed": False}, "published, not seen yet"),
        ({"state": "pending", "listed": False}, "pending"),
        ({"state": "deleted", "listed": True}, "deleted, still seen"),
        ({"state": "superseded", "listed": False}, "superseded"),
        ({"state": "published"}, "published"),
    ],
)
def test_the_state_of_a_package_says_what_clients_see(
    package: dict[str, object], printed: str
) -> None:
    fields = ("id", "suite", "component", "package", "version", "architecture", "path")
    ((*_, state, _path),) = packages._rows([dict.fromkeys(fields, "x") | package])
    assert state == printed
