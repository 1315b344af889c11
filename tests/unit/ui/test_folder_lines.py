"""Command lines on a folder's page: they fetch a file and check it, in any shell."""

import re
import subprocess
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import falcon
import pytest
from falcon.testing import create_req

from staging_api.paging import Page
from staging_api.staging.model import FolderChild
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.folder_pages import FolderPages

SERVER = "http://127.0.0.1:8080"
OF_X = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
# The fake stores "x" where the real curl would store the response.
CURL = """#!/bin/sh
while [ $# -gt 1 ]; do
  case $1 in
    -o) printf x > "$2"; shift ;;
    -H) echo "$2" >> headers; shift ;;
  esac
  shift
done
echo "$1" >> urls
"""


def lines_of(*names: str, auth: str) -> list[str]:
    """Return the lines of a page whose files all have the content "x"."""
    deps = cast(UiDependencies, SimpleNamespace(auth=auth, public_url=SERVER))
    resp = falcon.Response()
    page: Page[Any] = Page([FolderChild(name, OF_X, 1) for name in names], None)
    FolderPages(deps, ())(create_req(path="/static/a/"), resp, "a/", page)
    assert resp.text
    return [unescape(line) for line in re.findall(r"<pre[^>]*>(curl -fsS [^<]*)</pre>", resp.text)]


def run(line: str, folder: Path, token: str) -> str:
    """Run the line with the fake curl; return its output."""
    (folder / "curl").write_text(CURL)
    (folder / "curl").chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "STAGING_TOKEN": token}
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("name", ["update.gz", "a b'c", r"a\nb", "$HOME", "-n"])
def test_a_line_fetches_and_checks_its_file(tmp_path: Path, name: str) -> None:
    line, other = lines_of(name, "other", auth="none")
    assert run(line, tmp_path, "secret").endswith(": OK\n")
    assert (tmp_path / name).read_text() == "x"
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "headers").exists()
    assert run(other, tmp_path, "secret") == "other: OK\n"


def test_a_line_sends_the_token_of_the_shell_where_one_is_needed(tmp_path: Path) -> None:
    line, _ = lines_of("a", "b", auth="tokens")
    assert "secret" not in line
    assert run(line, tmp_path, "secret") == "a: OK\n"
    assert (tmp_path / "headers").read_text() == "Authorization: Bearer secret\n"
    assert (tmp_path / "urls").read_text() == f"{SERVER}/static/a/a\n"
