"""Create a token, which is shown once and stored as a hash."""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from staging_api.errors import DiskFailed, Invalid, Unauthenticated
from staging_api.identity.model import Role, valid_name
from staging_api.identity.tokens import BEGIN, END, hash_token, read_list
from staging_api.small_files import read_small_file

#: Prefix that marks a token in a log or a repository as one of ours.
PREFIX = "stg_"
_RANDOM_BYTES = 32
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def make_token(name: str, roles: Iterable[Role], days: int | None) -> tuple[str, str]:
    """Return a new token and its entry for the tokens file.

    Args:
        days: lifetime; None: it does not expire.

    Raises:
        Invalid: the name is not valid for a caller.
    """
    try:
        valid_name(name)
    except Unauthenticated:
        raise Invalid.field(
            "name", "must be 1 to 200 printable characters, and not one of the service's own"
        ) from None
    token = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    entry: dict[str, object] = {
        "name": name,
        "roles": [role.value for role in roles],
        "sha256": hash_token(token),
    }
    if days is not None:
        end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        entry["expires_at"] = end
    return token, yaml.safe_dump([entry], sort_keys=False)


def add_to_file(path: Path, lines: str) -> None:
    """Add an entry to a tokens file; a missing file is created with mode 0600.

    An existing file keeps its owner, group and mode, and a symbolic link stays a link: the service
    must be able to read the file as before.

    What if the process dies? The file is replaced as a whole or not at all. After this function
    returns, the entry survives a power failure.

    Raises:
        Invalid: the file is not a tokens file, or its owner cannot be kept.
        DiskFailed: the file cannot be written.
    """
    path = path.resolve()
    try:
        # Lock the folder: a lock file would stay behind, with an owner.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            _add(path, lines)
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise DiskFailed(f"{path} cannot be written: {error.strerror}") from None


def _add(path: Path, lines: str) -> None:
    before = _kept(path)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)  # left by a killed command
    try:
        with os.fdopen(os.open(draft, _NEW, 0o600), "w") as file:
            _keep_owner(path, file.fileno())
            file.write(f"{before}{lines}{END}\n")
            file.flush()
            os.fsync(file.fileno())
        _check_draft(draft, path)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _kept(path: Path) -> str:
    """Return the file's present text, which precedes the new entry."""
    if not path.exists() or not read_list(path).entries:
        return f"{BEGIN}\ntokens:\n"
    return read_small_file(path).rstrip().removesuffix(END).rstrip() + "\n"


def _check_draft(draft: Path, path: Path) -> None:
    try:
        read_list(draft)
    except Invalid:
        raise Invalid.field(
            "--file", f"an entry cannot be added to {path}: its list of tokens must come last"
        ) from None


def _keep_owner(path: Path, draft: int) -> None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return
    try:
        if (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(draft, facts.st_uid, facts.st_gid)
        os.fchmod(draft, stat.S_IMODE(facts.st_mode))
    except PermissionError:
        raise Invalid.field(
            "--file", f"{path} belongs to uid {facts.st_uid}: run this as that user or root"
        ) from None
