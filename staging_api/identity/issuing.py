"""Making a token: shown once, kept as a hash."""

import fcntl
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from staging_api.errors import Invalid, Unauthenticated
from staging_api.identity.model import Role, valid_name
from staging_api.identity.tokens import hash_token, read_tokens

#: So that a token found in a log or a repository can be told from other random texts.
PREFIX = "stg_"
_RANDOM_BYTES = 32


def make_token(name: str, roles: Iterable[Role], days: int | None) -> tuple[str, str]:
    """A new token, and the lines of the file that let it in.

    Args:
        days: after how many days it expires; None: never.

    Raises:
        Invalid: the name cannot be a caller's.
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
    """Add the lines of one token to a file, which is made, for its owner only, if it is missing.

    What if it dies? The file is replaced as a whole or not at all.

    Raises:
        Invalid: the file is there, and is not one of tokens.
    """
    with path.with_name(path.name + ".lock").open("w") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        before = "tokens:\n"
        if path.exists():
            read_tokens(path)
            before = path.read_text()
        draft = path.with_name(path.name + ".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(before if before.endswith("\n") else before + "\n")
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        read_tokens(draft)
        draft.replace(path)
