"""Hooks: real programs, run in order, in a clean environment, with a time limit."""

import errno
import mmap
import os
import signal
import tempfile
import warnings
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from select import select

import pytest

from staging_api.errors import LockLost
from staging_api.publishing import hooks
from staging_api.publishing.hooks import OUTPUT_BYTES, HookResult, run_hooks

AMPLE = 30.0


def hook(directory: Path, name: str, script: str, mode: int = 0o755) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)


def run(directory: Path, timeout_seconds: float = AMPLE, **environment: str) -> list[HookResult]:
    return list(run_hooks(directory, environment, timeout_seconds))


def test_hooks_run_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("20-b", "10-a", "Z", "a"):
        hook(tmp_path, name, f"echo {name}")
    assert [each.output for each in run(tmp_path)] == ["10-a\n", "20-b\n", "Z\n", "a\n"]


@pytest.mark.parametrize("name", ["10-a.sh", "10-a~", ".10-a", "10-a.dpkg-old", "10 a"])
def test_names_that_run_parts_leaves_out_are_left_out(tmp_path: Path, name: str) -> None:
    hook(tmp_path, name, "true")
    assert run(tmp_path) == []


def test_files_that_are_not_executable_are_left_out(tmp_path: Path) -> None:
    hook(tmp_path, "readme", "true", mode=0o644)
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert run(tmp_path) == []


def test_a_directory_that_is_not_there_has_no_hooks(tmp_path: Path) -> None:
    assert run(tmp_path / "gone") == []


def test_a_hook_sees_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "do not tell")
    hook(tmp_path, "env", "env; pwd")
    (result,) = run(tmp_path, ARCHIVE="main archive; $(id)")
    lines = set(result.output.splitlines())
    assert {"ARCHIVE=main archive; $(id)", "LC_ALL=C.UTF-8", "/"} <= lines
    assert {line.partition("=")[0] for line in lines} <= {
        *("ARCHIVE", "LC_ALL", "PATH", "PWD", "_", "SHLVL", "OLDPWD", "/")
    }


def test_input_is_empty_and_both_outputs_are_kept(tmp_path: Path) -> None:
    hook(tmp_path, "talk", "cat; echo out; echo err >&2; exit 3")
    (result,) = run(tmp_path)
    assert (result.exit_code, result.output, result.succeeded) == (3, "out\nerr\n", False)


def test_hooks_after_a_failure_do_not_run(tmp_path: Path) -> None:
    hook(tmp_path, "10-good", "true")
    hook(tmp_path, "20-bad", "exit 1")
    hook(tmp_path, "30-never", f"touch {tmp_path}/ran")
    good = takewhile(lambda result: result.succeeded, run_hooks(tmp_path, {}, AMPLE))
    assert [each.name for each in good] == ["10-good"]
    assert not (tmp_path / "ran").exists()


def test_a_signal_differs_from_an_exit_code(tmp_path: Path) -> None:
    hook(tmp_path, "suicide", "kill -9 $$")
    (result,) = run(tmp_path)
    assert (result.exit_code, result.timed_out) == (-9, False)


def test_a_hook_over_its_time_is_ended_with_its_children(tmp_path: Path) -> None:
    hook(tmp_path, "slow", "echo begun; sleep 600 & echo $!; wait")
    (result,) = run(tmp_path, timeout_seconds=0.5)
    assert (result.exit_code, result.timed_out, result.succeeded) == (None, True, False)
    begun, child = result.output.split()
    assert begun == "begun"
    assert ends(int(child))


def test_a_hook_of_a_run_that_lost_the_lock_is_ended_with_its_children(tmp_path: Path) -> None:
    begun = tmp_path / ".begun"
    hook(tmp_path, "10-mirror", f"sleep 600 & echo $! > {begun}; wait")
    hook(tmp_path, "20-never", f"touch {tmp_path}/ran")

    def check() -> None:
        if begun.exists() and begun.read_text():
            raise LockLost("the publisher lock was lost")

    with pytest.raises(LockLost):
        list(run_hooks(tmp_path, {}, AMPLE, check))
    assert ends(int(begun.read_text()))
    assert not (tmp_path / "ran").exists()


def test_a_child_left_behind_neither_delays_nor_survives(tmp_path: Path) -> None:
    hook(tmp_path, "daemon", "sleep 600 & echo $!")
    (result,) = run(tmp_path)
    assert result.succeeded
    assert ends(int(result.output))


@pytest.mark.parametrize(
    ("script", "outcome"), [("echo done", (0, False)), ("echo done; exec sleep 600", (None, True))]
)
def test_what_belongs_to_another_user_is_not_ended_and_the_hook_s_outcome_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, outcome: tuple[int | None, bool]
) -> None:
    """Example: a program started by sudo, left behind by the hook or in place of the hook."""
    groups: list[int] = []

    def refused(group: int, _signal: int) -> None:
        groups.append(group)
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", refused)
    hook(tmp_path, "10-a", script)
    try:
        with warnings.catch_warnings():
            # A warning about a process that still runs is logged when its object is deleted.
            warnings.simplefilter("ignore", ResourceWarning)
            (result,) = run(tmp_path, timeout_seconds=0.5)
        assert (result.exit_code, result.timed_out, result.output) == (*outcome, "done\n")
    finally:
        monkeypatch.undo()
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
    assert len(groups) == 1


def test_only_the_end_of_much_output_is_kept(tmp_path: Path) -> None:
    hook(tmp_path, "chatty", "head -c 200000 /dev/zero | tr '\\0' x; echo the end")
    (result,) = run(tmp_path)
    assert len(result.output) == OUTPUT_BYTES == 65_536
    assert result.output.endswith("xthe end\n")


def test_a_program_that_cannot_start_is_a_failed_hook(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    (result,) = run(tmp_path)
    assert result.exit_code is None
    assert "could not be started" in result.output


def test_a_directory_that_cannot_be_read_is_a_failed_hook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, other = tmp_path / "before.d", tmp_path / "after.d"
    for directory in (closed, other):
        directory.mkdir()
        hook(directory, "10-a", "echo done")
    listed = os.listdir

    def refused(directory: Path) -> list[str]:
        if directory == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(directory))
        return listed(directory)

    monkeypatch.setattr(os, "listdir", refused)
    (result,) = run(closed)
    assert (result.name, result.exit_code, result.timed_out) == ("before.d", None, False)
    assert result.output.endswith(f"Permission denied: '{closed}'")
    assert [each.output for each in run(other)] == ["done\n"]


def test_a_hook_that_writes_succeeds_beside_a_full_disk_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(tmp_path, "10-a", "set -e\necho done")
    with Path("/dev/full").open("wb") as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
        (result,) = run(tmp_path)
    assert (result.exit_code, result.output) == (0, "done\n")


def test_a_hook_without_memory_for_its_output_is_a_failed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    hook(tmp_path, "10-a", "true")
    monkeypatch.setattr(os, "memfd_create", full)
    (result,) = run(tmp_path)
    assert (result.name, result.exit_code) == ("10-a", None)
    assert result.output == "could not be started: [Errno 24] Too many open files"


def test_much_output_takes_little_memory_while_the_hook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    create = os.memfd_create

    def noted(name: str) -> int:
        made.append(os.dup(descriptor := create(name)))
        return descriptor

    monkeypatch.setattr(os, "memfd_create", noted)
    much = "head -c 4500000 /dev/zero | tr '\\0' x; echo"
    hook(tmp_path, "10-a", f"{much}; touch {tmp_path}/written; sleep 1; echo the end")
    hook(tmp_path, "20-b", "echo other")
    chatty, other = run(tmp_path)
    assert (tmp_path / "written").exists()
    assert len(chatty.output) == OUTPUT_BYTES
    assert chatty.output.endswith("x\nthe end\n")
    assert other.output == "other\n"
    # Even if processes that a hook left behind keep writing at the end of the file.
    os.lseek(made[1], 0, os.SEEK_SET)
    os.write(made[1], b"late\n")
    kept = [os.fstat(each) for each in made]
    for each in made:
        os.close(each)
    # In blocks of 512 bytes; freed blocks still count in the file's length.
    assert kept[0].st_blocks * 512 <= OUTPUT_BYTES + mmap.PAGESIZE
    assert kept[0].st_size == 4_500_001 + len("the end\n")
    assert kept[1].st_size == len("other\nlate\n")


def test_what_a_hook_writes_while_its_output_is_kept_short_stays_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_MOST_BYTES", OUTPUT_BYTES)
    monkeypatch.setattr(hooks, "_LOOK_SECONDS", 0.0005)
    hook(tmp_path, "10-a", "seq 300000")
    hook(tmp_path, "20-b", "seq 3")
    long, short = run(tmp_path)
    expected = "".join(f"{number}\n" for number in range(1, 300001))
    assert long.output == expected[-OUTPUT_BYTES:]
    assert short.output == "1\n2\n3\n"


def ends(pid: int) -> bool:
    """Return whether a process has ended, or ends within a short wait."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(process):
        return bool(select([process], [], [], AMPLE)[0])
