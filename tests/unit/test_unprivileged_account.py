"""Root's change to an unprivileged account for PostgreSQL: account, way, and owner of the data."""

import ctypes
import errno
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from staging_api.embedded_postgres import unprivileged
from staging_api.embedded_postgres.errors import EmbeddedPostgresError

Done = list[Any]


def account(name: str, uid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid + 1, "", "/", "/bin/false"))


ROOT = account("root", 0)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([("ann", 1000), ("daemon", 1), ("nobody", 65534), ("postgres", 26)], "postgres"),
        ([("ann", 1000), ("daemon", 1), ("nobody", 65534)], "nobody"),
        ([("ann", 1000), ("daemon", 1)], "daemon"),
        ([("ann", 1000), ("bob", 1001)], "ann"),
        ([("nobody", 0), ("ann", 1000)], "ann"),
    ],
)
def test_an_account_made_for_servers_is_taken_before_any_other_and_never_roots(
    monkeypatch: pytest.MonkeyPatch, others: list[tuple[str, int]], chosen: str
) -> None:
    entries = [ROOT, *(account(*each) for each in others)]
    monkeypatch.setattr(pwd, "getpwall", lambda: entries)
    assert unprivileged._account().pw_name == chosen


def test_a_system_with_root_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwall", lambda: [ROOT])
    with pytest.raises(EmbeddedPostgresError, match="an account other than root's"):
        unprivileged._account()


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Done:
    """Record the steps of a root process, in order; the account is 26, its group 27."""
    found: Done = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getegid", lambda: 0)
    monkeypatch.setattr(unprivileged, "_account", lambda: account("postgres", 26))
    for name in ("_change_owner", "_enter_user_namespace", "_change_user"):
        monkeypatch.setattr(
            unprivileged, name, lambda *given, name=name: found.append((name, *given[-2:]))
        )
    return found


@pytest.mark.parametrize("can_map", [True, False])
def test_data_belongs_to_who_the_process_is_before_it_changes(
    done: Done, monkeypatch: pytest.MonkeyPatch, can_map: bool
) -> None:
    asked: Done = []
    monkeypatch.setattr(
        unprivileged, "_can_map_user", lambda *given: (asked.append(given), can_map)[1]
    )
    unprivileged.become_ordinary_user(Path("/data"), [Path("/reach")])
    assert asked == [(account("postgres", 26), [Path("/reach")])]
    found = account("postgres", 26)
    assert done == (
        [("_change_owner", 0, 0), ("_enter_user_namespace", found)]
        if can_map
        else [("_change_owner", 26, 27), ("_change_user", found)]
    )


@pytest.mark.parametrize(("uid", "known", "stays"), [(5, True, True), (5, False, False)])
def test_a_user_with_an_account_keeps_it(
    done: Done, monkeypatch: pytest.MonkeyPatch, uid: int, known: bool, stays: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)

    def entry(asked: int) -> Any:
        assert asked == uid
        if not known:
            raise KeyError(asked)

    monkeypatch.setattr(pwd, "getpwuid", entry)
    monkeypatch.setattr(unprivileged, "_can_map_user", lambda *_given: True)
    unprivileged.become_ordinary_user(Path("/data"), [])
    assert (done == []) == stays


def test_where_the_kernel_allows_neither_way_the_account_and_the_reason_are_named(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_account: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(unprivileged, "_can_map_user", lambda *_given: False)
    monkeypatch.setattr(unprivileged, "_change_user", refuse)
    with pytest.raises(EmbeddedPostgresError, match=r"user id 0.*to postgres .*not permitted"):
        unprivileged.become_ordinary_user(Path("/data"), [])
    assert done == [("_change_owner", 26, 27)]


@pytest.mark.parametrize(
    ("enters", "readable", "can"),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_a_user_namespace_will_do_if_it_can_be_entered_and_all_is_open_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, enters: bool, readable: bool, can: bool
) -> None:
    def enter(_account: Any) -> None:
        if not enters:
            os.close(2)  # the child's exception must not be printed
            raise PermissionError

    monkeypatch.setattr(unprivileged, "_enter_user_namespace", enter)
    reach = [tmp_path, tmp_path if readable else tmp_path / "gone"]
    assert unprivileged._can_map_user(account("postgres", 26), reach) == can


def test_all_data_changes_its_owner_its_folder_last_and_no_link_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    (data / "base").mkdir(parents=True)
    (data / "base" / "1").touch()
    (data / "link").symlink_to("/")
    changed: Done = []
    monkeypatch.setattr(
        os, "chown", lambda path, *given, **how: changed.append((Path(path), given, how))
    )
    unprivileged._change_owner(data, os.geteuid(), 27)
    unprivileged._change_owner(tmp_path / "gone", 26, 27)
    assert changed == []
    unprivileged._change_owner(data, 26 + os.geteuid(), 27)
    assert changed[-1] == (data, (26 + os.geteuid(), 27), {})
    within = {data / "base", data / "base" / "1", data / "link"}
    assert {path for path, _, _ in changed[:-1]} == within
    assert all(how == {"follow_symlinks": False} for _, _, how in changed[:-1])
    assert {given for _, given, _ in changed} == {(26 + os.geteuid(), 27)}


def test_what_the_kernel_refuses_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ctypes, "get_errno", lambda: 1)
    unprivileged._raise_on_failure(0)
    for result in (-1, 1):
        with pytest.raises(PermissionError):
            unprivileged._raise_on_failure(result)


def test_the_reason_of_a_refusal_is_the_kernels() -> None:
    neither_on_nor_off = 2
    refused = unprivileged._LIBC.prctl(unprivileged._PR_SET_KEEPCAPS, neither_on_nor_off)
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        unprivileged._raise_on_failure(refused)
