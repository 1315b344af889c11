"""Turn a process of root into one in which PostgreSQL agrees to run.

initdb and postgres refuse user id 0, and initdb also refuses an id without an entry in passwd.
There are two ways; the first one that the kernel allows is used:

1. A user namespace in which this process's id has the number of an ordinary account. To the rest of
the system nothing changes: files keep their owner, and private folders stay open to the process.
2. As root only: the ids of that account, keeping the one capability that opens folders which only
root may enter. The data folder then belongs to the account.

The mode or owner of a folder above the data is never changed.
"""

import ctypes
import os
import pwd
from collections.abc import Sequence
from pathlib import Path

from staging_api.embedded_postgres.errors import EmbeddedPostgresError

_ACCOUNTS = ("postgres", "nobody", "daemon")
_CLONE_NEWUSER = 0x10000000
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)


def become_ordinary_user(data: Path, reach: Sequence[Path]) -> None:
    """Make this process acceptable to PostgreSQL, permanently; it must have no other thread.

    Args:
        data: the folder that PostgreSQL must own, with its content; it need not exist.
        reach: files and folders that must be accessible to the process afterwards.

    Raises:
        EmbeddedPostgresError: the kernel allows neither way.
    """
    if os.geteuid() != 0 and _has_account(os.geteuid()):
        return
    account = _account()
    try:
        if _can_map_user(account, reach):
            _change_owner(data, os.geteuid(), os.getegid())
            _enter_user_namespace(account)
        else:
            _change_owner(data, account.pw_uid, account.pw_gid)
            _change_user(account)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as user id {os.geteuid()}, and the kernel allows neither a"
            f" user namespace nor a change to {account.pw_name} ({error}): run as an ordinary user"
        ) from error


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _account() -> pwd.struct_passwd:
    """Return an account made for servers if there is one, else any other than root's."""
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    if not known:
        raise EmbeddedPostgresError("PostgreSQL needs an account other than root's in /etc/passwd")
    preferred = [known[name] for name in _ACCOUNTS if name in known]
    return (preferred or list(known.values()))[0]


def _can_map_user(account: pwd.struct_passwd, reach: Sequence[Path]) -> bool:
    """Try the user namespace in a child: a process in which it fails half-way could not go back."""
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            _enter_user_namespace(account)
            failed = int(not all(os.access(path, os.R_OK | os.X_OK) for path in reach))
        finally:
            os._exit(failed)
    return os.waitpid(child, 0)[1] == 0


def _enter_user_namespace(account: pwd.struct_passwd) -> None:
    """Enter a user namespace in which this process has the ids of the account."""
    uid, gid = os.geteuid(), os.getegid()
    _raise_on_failure(_LIBC.unshare(_CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")  # the kernel's condition for a gid_map
    Path("/proc/self/gid_map").write_text(f"{account.pw_gid} {gid} 1")
    Path("/proc/self/uid_map").write_text(f"{account.pw_uid} {uid} 1")


def _change_user(account: pwd.struct_passwd) -> None:
    """Change to the ids of this account; keep, across exec, access to root's folders."""
    _raise_on_failure(_LIBC.prctl(_PR_SET_KEEPCAPS, 1))
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low_and_high = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _raise_on_failure(_LIBC.capset(header, low_and_high))
    _raise_on_failure(_LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))


def _change_owner(folder: Path, uid: int, gid: int) -> None:
    """Change the owner of all data, of the folder last: an interrupted change is repeated."""
    if not folder.exists() or folder.stat().st_uid == uid:
        return
    for path, folders, names in os.walk(folder):
        for name in (*folders, *names):
            os.chown(os.path.join(path, name), uid, gid, follow_symlinks=False)  # noqa: PTH118
    os.chown(folder, uid, gid)


def _raise_on_failure(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
