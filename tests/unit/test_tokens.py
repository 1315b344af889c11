"""Tokens in a file: who is let in, who is not, and what a change of the file does."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from staging_api.errors import Invalid, Unauthenticated
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.identity.tokens import TokenFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.yaml"


def issue(path: Path, name: str = "ci", role: Role = Role.STAGER, days: int | None = 1) -> str:
    """A token that the file lets in."""
    token, lines = make_token(name, [role], days)
    add_to_file(path, lines)
    return token


def test_a_token_of_the_file_names_its_caller_and_roles(path: Path):
    token = issue(path, "ci", Role.STAGER)
    other = issue(path, "boss", Role.OPERATOR)
    tokens = TokenFile(path)
    assert (tokens.check(token).name, tokens.check(token).roles) == ("ci", frozenset({Role.STAGER}))
    assert tokens.check(other).name == "boss"


def test_the_file_holds_no_token(path: Path):
    assert issue(path) not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_an_unknown_token_is_refused(path: Path):
    token = issue(path)
    with pytest.raises(Unauthenticated, match="not known"):
        TokenFile(path).check(token + "x")


def test_of_two_entries_of_one_token_the_first_holds(path: Path):
    token = issue(path, days=1)
    (entry,) = yaml.safe_load(path.read_text())["tokens"]
    again = entry | {"name": "other", "expires_at": None}
    path.write_text(yaml.safe_dump({"tokens": [entry, again]}))
    assert TokenFile(path).check(token).name == entry["name"]


def test_the_hash_in_the_file_is_no_token(path: Path):
    issue(path)
    digest = yaml.safe_load(path.read_text())["tokens"][0]["sha256"]
    with pytest.raises(Unauthenticated):
        TokenFile(path).check(digest)


def test_a_token_ends_at_its_time(path: Path):
    token = issue(path, days=1)
    assert TokenFile(path).check(token)
    with pytest.raises(Unauthenticated, match="expired"):
        TokenFile(path, now=lambda: datetime(2999, 1, 1, tzinfo=UTC)).check(token)


def test_a_change_of_the_file_is_seen_by_the_next_request(path: Path):
    old = issue(path)
    tokens = TokenFile(path)
    new = issue(path)
    assert tokens.check(new).name == tokens.check(old).name == "ci"
    entries = yaml.safe_load(path.read_text())["tokens"]
    path.write_text(yaml.safe_dump({"tokens": entries[1:]}))
    with pytest.raises(Unauthenticated):
        tokens.check(old)
    assert tokens.check(new)


@pytest.mark.parametrize("wrong", ["tokens: [", "tokens: 7", "- a", "tokens: [{name: x}]", None])
def test_a_file_that_became_wrong_leaves_the_tokens_of_before(path: Path, wrong: str | None):
    token = issue(path)
    tokens = TokenFile(path)
    if wrong is None:
        path.unlink()
    else:
        path.write_text(wrong)
    assert tokens.check(token).name == "ci"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "worker"}, "not one of the service's own"),
        ({"name": "a\nb"}, "printable"),
        ({"roles": ["king"]}, "king"),
        ({"sha256": "A" * 64}, "64 hexadecimal digits"),
        ({"expires_at": "soon"}, "expires_at must be a time"),
        ({"secret": "x"}, "unknown fields: secret"),
    ],
)
def test_a_wrong_entry_is_told_by_number_and_reason(
    path: Path, change: dict[str, object], message: str
):
    issue(path)
    entry = yaml.safe_load(path.read_text())["tokens"][0]
    path.write_text(yaml.safe_dump({"tokens": [entry, entry | change]}))
    with pytest.raises(Invalid, match=f"token 2: .*{message}"):
        TokenFile(path)


def test_the_command_shows_a_token_that_the_file_then_lets_in(path: Path):
    command = [sys.executable, "-m", "staging_api", "token", "ci", "--role", "stager"]
    done = subprocess.run([*command, "--file", path], check=True, capture_output=True, text=True)
    assert TokenFile(path).check(done.stdout.strip()).roles == {Role.STAGER}
    assert done.stderr == ""


def test_a_file_that_is_there_keeps_its_mode_its_owner_and_its_link(tmp_path):
    real = tmp_path / "real" / "tokens.yaml"
    real.parent.mkdir()
    link = tmp_path / "tokens.yaml"
    add_to_file(real, make_token("first", [Role.VIEWER], None)[1])
    assert real.stat().st_mode & 0o777 == 0o600
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 12345, 54321)
    link.symlink_to(real)
    before = real.stat()
    add_to_file(link, make_token("second", [Role.VIEWER], None)[1])
    after = real.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert link.is_symlink()
    assert {path.name for path in real.parent.iterdir()} == {"tokens.yaml"}
    assert "second" in real.read_text()
