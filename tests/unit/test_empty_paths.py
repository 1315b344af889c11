"""Empty paths, as from an unset variable: never the current folder."""

from pathlib import Path

import pytest

from staging_api.cli import main
from staging_api.client import StagingClient
from staging_api.client.copies import copy_at
from staging_api.errors import Invalid

URL = "http://127.0.0.1:1/build"
NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", URL, "-o", ""],
        ["get", URL, "--output="],
        ["token", "ada", "--role", "viewer", "--file", ""],
        ["catalogue", URL, "--check", ""],
        ["publish", "export", "tools", ""],
        ["publish", "upload", "tools", ""],
        ["documents", "lint", ""],
        ["documents", "render", ""],
        ["documents", "diff", "", "committed"],
        ["documents", "why", "site/Network/v1", "oam", "--folder", ""],
        ["documents", "create", "design", ""],
    ],
)
def test_a_verb_refuses_an_empty_path(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "must not be empty" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_the_client_refuses_an_empty_path() -> None:
    with StagingClient(NOWHERE, timeout=1) as client:
        with pytest.raises(Invalid, match="to: must not be empty"):
            client.get(URL, to="", timeout=1)
        with pytest.raises(Invalid, match="to: must not be empty"):
            client.download("a/b", to="", timeout=1)
    with pytest.raises(Invalid, match="target: must not be empty"):
        copy_at("")
