"""Token file: accepted and refused callers, and effects of a changed file."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from staging_api.cli import main
from staging_api.errors import DiskFailed, IdentityUnavailable, Invalid, Unauthenticated
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.identity.tokens import SETTLING_SECONDS, TokenFile, read_list


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.yaml"


def issue(path: Path, name: str = "ci", role: Role = Role.STAGER, days: int | None = 1) -> str:
    """Create a token that the file accepts."""
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


@dataclass
class Clock:
    """Monotonic clock that the test moves."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_file_that_becomes_readable_again_is_read(path: Path):
    """The end of some failures changes nothing in the file's metadata."""
    old = issue(path)
    clock = Clock()
    tokens = TokenFile(path, clock=clock)
    new = issue(path, "other")
    with unreadable(path):
        assert tokens.check(old).name == "ci"
        with pytest.raises(IdentityUnavailable):
            tokens.check(new)
    clock.seconds += 1
    assert tokens.check(new).name == "other"
    with pytest.raises(Unauthenticated):
        tokens.check("stg_nobodys")


def test_a_file_that_is_back_as_it_was_is_no_longer_wrong(path: Path):
    issue(path)
    tokens = TokenFile(path, clock=(clock := Clock()))
    away = path.with_name("away")
    path.rename(away)
    with pytest.raises(IdentityUnavailable):
        tokens.check("stg_nobodys")
    away.rename(path)
    clock.seconds += 1
    with pytest.raises(Unauthenticated):
        tokens.check("stg_nobodys")


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Let reads of the file fail in the block, as on a hanging disk; also for root."""

    def fail(self: Path, *_: object, **__: object) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "read_text", fail)
        yield


def cuts(text: str) -> list[int]:
    """Return lengths of prefixes of a text: around the end of each line, and some between."""
    ends = [i for i, letter in enumerate(text) if letter == "\n"]
    near = {end + step for end in ends for step in (-1, 0, 1, 2)}
    return sorted({0, *range(0, len(text), 11), *near} & set(range(len(text))))


def test_a_file_cut_off_anywhere_leaves_the_tokens_of_before(path: Path):
    made = {name: issue(path, name) for name in ("a", "b", "c")}
    whole = path.read_bytes()
    tokens = TokenFile(path, clock=(clock := Clock()))
    for length in cuts(whole.decode().rstrip()):
        path.write_bytes(whole[:length])
        clock.seconds += 1
        for name, token in made.items():
            assert tokens.check(token).name == name, f"after {length} bytes"
        with pytest.raises(IdentityUnavailable):
            tokens.check("stg_nobodys")
    path.write_bytes(whole)
    with pytest.raises(Unauthenticated):
        tokens.check("stg_nobodys")


def test_a_process_does_not_start_on_a_file_that_was_cut_off(path: Path):
    issue(path, "a")
    issue(path, "b")
    text = path.read_text()
    path.write_text(text[: text.index("- name: b")])
    with pytest.raises(Invalid, match="cut off: its last line must be `# end of tokens`"):
        TokenFile(path)


@pytest.mark.parametrize("empty", ["", "tokens:\n", "tokens: []\n", "# nothing\n", "null\n"])
def test_a_file_without_a_marker_that_was_emptied_is_not_taken(path: Path, empty: str):
    token = issue(path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text())))
    tokens = TokenFile(path)
    path.write_text(empty)
    assert tokens.check(token).name == "ci"


def without_marker(path: Path, *names: str) -> tuple[str, dict[str, str]]:
    """Return the text of a user's own file with these tokens, without first and last line."""
    made = {name: issue(path, name) for name in names}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()), sort_keys=False))
    return path.read_text(), made


def test_a_file_without_a_marker_that_is_still_written_is_not_taken(path: Path):
    text, made = without_marker(path, "a", "b", "c")
    tokens = TokenFile(path, clock=(clock := Clock()))
    for length in cuts(text.rstrip()):
        path.write_text(text[:length])
        clock.seconds += SETTLING_SECONDS / 2
        for name, token in made.items():
            assert tokens.check(token).name == name, f"after {length} characters"
    path.write_text(text)
    with pytest.raises(Unauthenticated):
        tokens.check("stg_nobodys")


def test_last_entries_that_are_removed_for_good_lose_their_tokens_after_a_while(
    path: Path, caplog: pytest.LogCaptureFixture
):
    text, made = without_marker(path, "a", "b", "c")
    tokens = TokenFile(path, clock=(clock := Clock()))
    path.write_text(text[: text.index("- name: c")])
    for _ in range(int(SETTLING_SECONDS)):
        assert tokens.check(made["c"]).name == "c"
        with pytest.raises(IdentityUnavailable):
            tokens.check("stg_nobodys")
        clock.seconds += 1
    with pytest.raises(Unauthenticated):
        tokens.check(made["c"])
    assert tokens.check(made["a"]).name == "a"
    assert tokens.check(made["b"]).name == "b"
    assert "lost its last entries" in caplog.text


def test_last_entries_that_are_removed_and_followed_by_the_marker_lose_their_tokens_at_once(
    path: Path,
):
    text, made = without_marker(path, "a", "b")
    tokens = TokenFile(path)
    path.write_text(text[: text.index("- name: b")] + "# end of tokens\n")
    with pytest.raises(Unauthenticated):
        tokens.check(made["b"])
    assert tokens.check(made["a"]).name == "a"


def test_what_ends_within_an_entry_is_never_taken_for_its_whole(path: Path):
    """Without its last line, the last token would never expire."""
    text, made = without_marker(path, "a", "b")
    tokens = TokenFile(path, clock=(clock := Clock()))
    path.write_text(text[: text.rindex("  expires_at")])
    for _ in range(3):
        clock.seconds += 2 * SETTLING_SECONDS
        assert tokens.check(made["b"]).name == "b"
        with pytest.raises(IdentityUnavailable):
            tokens.check("stg_nobodys")


def test_an_entry_that_is_removed_from_the_middle_loses_its_token_at_once(path: Path):
    text, made = without_marker(path, "a", "b", "c")
    tokens = TokenFile(path)
    path.write_text(text[: text.index("- name: b")] + text[text.index("- name: c") :])
    with pytest.raises(Unauthenticated):
        tokens.check(made["b"])
    assert tokens.check(made["c"]).name == "c"


def test_all_tokens_are_taken_away_by_an_empty_list_with_its_marker(path: Path):
    token = issue(path)
    tokens = TokenFile(path)
    path.write_text("tokens:\n# end of tokens\n")
    with pytest.raises(Unauthenticated):
        tokens.check(token)
    again = issue(path)
    assert tokens.check(again).name == "ci"


def test_a_file_without_a_marker_is_accepted_and_gets_one(path: Path):
    old = issue(path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text())))
    tokens = TokenFile(path)
    assert tokens.check(old)
    new = issue(path)
    assert tokens.check(old).name == tokens.check(new).name == "ci"
    assert path.read_text().splitlines()[-1] == "# end of tokens"


def test_a_file_keeps_its_owner_and_mode_and_its_folder_no_other_file(path: Path):
    issue(path)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    before = path.stat()
    issue(path)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert list(path.parent.iterdir()) == [path]


def test_an_entry_is_not_added_where_it_would_be_lost(path: Path):
    issue(path)
    text = path.read_text().replace("# end of tokens", "other: 1\n# end of tokens")
    path.write_text(text)
    with pytest.raises(Invalid, match="must come last"):
        issue(path)
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_what_a_command_that_was_killed_left_keeps_no_entry_from_being_added(path: Path):
    issue(path)
    left = path.with_name("tokens.yaml.new")
    left.write_text("# begin of")
    other = issue(path, "other")
    assert TokenFile(path).check(other).name == "other"
    assert list(path.parent.iterdir()) == [path]


def no_folder(path: Path) -> Path:
    return path / "none" / "tokens.yaml"


def folder_beside(path: Path) -> Path:
    path.with_name("tokens.yaml.new").mkdir()
    return path


@pytest.mark.parametrize(
    ("made", "why"),
    [(no_folder, "No such file or directory"), (folder_beside, "Is a directory")],
)
def test_a_disk_that_takes_no_entry_is_told_of(
    path: Path, made: Callable[[Path], Path], why: str
) -> None:
    file = made(path)
    with pytest.raises(DiskFailed, match=f"{file} cannot be written: {why}"):
        issue(file)
    assert not file.exists()


def test_what_was_written_before_the_disk_was_full_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issue(path)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskFailed, match="No space left"):
        issue(path, "other")
    assert list(path.parent.iterdir()) == [path]
    assert TokenFile(path).check(token).name == "ci"


@pytest.mark.parametrize("instead", ["a folder", "a pipe", "a link to nothing", "bytes", "long"])
def test_pipes_and_devices_are_refused_without_waiting(path: Path, instead: str):
    token, other = issue(path), path.with_name("other")
    clock = Clock()
    tokens = TokenFile(path, clock=clock)
    whole = path.read_bytes()
    path.unlink()
    match instead:
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "a link to nothing":
            path.symlink_to(other)
        case "bytes":
            path.write_bytes(whole + b"# \xff\n# end of tokens\n")
        case "long":
            path.write_bytes(whole)
            os.truncate(path, 1 << 30)
    assert tokens.check(token).name == "ci"
    with pytest.raises(IdentityUnavailable):
        tokens.check("stg_nobodys")
    with pytest.raises(Invalid, match="cannot be read"):
        TokenFile(path)
    path.rename(path.with_name("away"))
    other.write_bytes(whole)
    path.symlink_to(other)
    clock.seconds += 1
    with pytest.raises(Unauthenticated):
        tokens.check("stg_nobodys")
    assert tokens.check(token).name == "ci"


def test_what_other_editors_write_is_read_and_protected_as_well(path: Path):
    """A byte order mark, and line ends of Windows."""
    made = {name: issue(path, name) for name in ("a", "b")}
    text = "\ufeff" + path.read_text().replace("\n", "\r\n")
    path.write_bytes(text.encode())
    tokens = TokenFile(path)
    assert [tokens.check(token).name for token in made.values()] == ["a", "b"]
    path.write_bytes(text[: text.index("- name: b")].encode())
    with pytest.raises(Invalid, match="cut off"):
        TokenFile(path)
    assert [tokens.check(token).name for token in made.values()] == ["a", "b"]


def test_two_lists_in_one_file_are_refused(path: Path):
    """YAML parsers take the last list, and would lock out all callers of the first."""
    issue(path)
    path.write_text(path.read_text().replace("tokens:\n", "tokens: []\ntokens:\n"))
    with pytest.raises(Invalid, match="line 3 repeats a key"):
        TokenFile(path)


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
def test_an_error_names_the_wrong_entry_and_the_reason(
    path: Path, change: dict[str, object], message: str
):
    issue(path)
    entry = yaml.safe_load(path.read_text())["tokens"][0]
    path.write_text(yaml.safe_dump({"tokens": [entry, entry | change]}))
    with pytest.raises(Invalid, match=f"token 2: .*{message}"):
        TokenFile(path)


def test_the_command_prints_a_token_that_its_file_accepts(
    path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        main(["token", "ci", "--role", "stager", "--file", str(path)])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.err) == (0, "")
    assert TokenFile(path).check(printed.out.strip()).roles == {Role.STAGER}


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


@pytest.mark.parametrize("to_file", [False, True])
def test_the_entry_of_a_token_goes_to_the_file_or_else_to_standard_error(
    path: Path, capsys: pytest.CaptureFixture[str], *, to_file: bool
) -> None:
    if to_file:
        issue(path, "another")
    given = ["--file", str(path)] if to_file else []
    with pytest.raises(SystemExit) as ended:
        main(["token", "ci", "--role", "stager", *given])
    assert not ended.value.code
    shown = capsys.readouterr()
    if to_file:
        assert shown.err == ""
    else:
        path.write_text(f"tokens:\n{shown.err}")
    assert TokenFile(path).check(shown.out.strip()).name == "ci"


@pytest.mark.parametrize(
    ("text", "line"),
    [("tokens:\n  - {", 2), ("tokens:\n- a: b\n  c: \x07", 3), ("tokens: []\n'", 2)],
    ids=["flow", "character", "quote"],
)
def test_a_file_that_is_not_yaml_is_refused_with_its_line_and_without_its_text(
    tmp_path: Path, text: str, line: int
) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    with pytest.raises(Invalid) as refused:
        read_list(file)
    assert refused.value.detail.endswith(f"tokens.yaml: line {line} is not YAML")
