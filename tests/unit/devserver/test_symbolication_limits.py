"""Resource limits of the program that makes stack traces."""

import resource
from pathlib import Path
from typing import Any

import pytest

from staging_api.devserver.symbolication import Symbolication
from staging_api.errors import LimitExceeded, StagingApiError
from staging_api.http.resources.devserver.symbols import _copy


def program(folder: Path, text: str) -> Symbolication:
    made = folder / "walk"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(0o755)
    nothing: Any = None
    return Symbolication(made, nothing, nothing)


def test_a_dump_of_64_mib_is_saved_and_a_longer_one_is_not(tmp_path: Path) -> None:
    piece = b"x" * (1 << 20)
    _copy(iter([piece] * 64), tmp_path / "dump")
    assert (tmp_path / "dump").stat().st_size == 64 << 20
    with pytest.raises(LimitExceeded, match="a minidump may have 67108864 bytes"):
        _copy(iter([*[piece] * 64, b"x"]), tmp_path / "longer")


def test_the_program_has_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(
        resource, "prlimit", lambda _pid, kind, limits: asked.update({kind: limits})
    )
    dump = tmp_path / "dump"
    dump.write_bytes(b"")
    assert program(tmp_path, 'test -d "$2" && echo "$1"')._walk(dump, {}) == f"{dump}\n".encode()
    assert asked == {
        resource.RLIMIT_CPU: (61, 61),
        resource.RLIMIT_AS: (8 << 30, 8 << 30),
        resource.RLIMIT_FSIZE: (16 << 20, 16 << 20),
        resource.RLIMIT_CORE: (0, 0),
    }


def test_the_end_of_what_a_program_says_is_why_it_failed(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(b"")
    said = "printf '%0600d' 0 >&2; echo no module >&2; exit 3"
    with pytest.raises(StagingApiError, match=r"no stack trace \(status 3\)") as failed:
        program(tmp_path, said)._walk(dump, {})
    assert failed.value.detail.startswith("no stack trace (status 3): 00")
    assert failed.value.detail.endswith("no module")
    assert len(failed.value.detail) < 540


def test_a_trace_that_reaches_the_limit_is_refused(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(b"")
    walks = program(tmp_path, "head -c 16777216 /dev/zero")
    with pytest.raises(LimitExceeded, match="too long"):
        walks._walk(dump, {})
    assert len(program(tmp_path, "head -c 16777215 /dev/zero")._walk(dump, {})) == (16 << 20) - 1


def test_what_a_program_writes_is_kept_where_no_full_disk_cuts_it(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(b"")
    where = "readlink /proc/$$/fd/1 /proc/$$/fd/2; echo said >&2"
    written = program(tmp_path, where)._walk(dump, {}).splitlines()
    assert len(written) == 2
    assert all(each.startswith(b"/memfd:") for each in written)
