"""Tokens from a file: it has only their hashes, and the next request sees a change of it.

    tokens:
      - name: ci-builders
        roles: [stager]
        sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
        expires_at: 2027-01-31T00:00:00Z

A token is 256 random bits, so its plain sha256 cannot be guessed back; a slow hash, which protects
guessable passwords, would only cost each request a tenth of a second. Two entries may have one
name: that is how a token is replaced without a gap.

What if the file is wrong, or gone, after a change? The last good one stays in force, the log and
``staging_credentials_file_wrong`` say so: a typing error must not lock every caller out.
"""

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from staging_api import metrics
from staging_api.errors import Invalid, Unauthenticated
from staging_api.identity.model import Identity, Role, valid_name

log = logging.getLogger(__name__)

_SETTING = "STAGING_TOKENS_FILE"
_SHA256 = re.compile("[0-9a-f]{64}")
_FIELDS = {"name", "roles", "sha256", "expires_at"}


@dataclass(frozen=True)
class TokenEntry:
    """One token, as the file has it; `expires_at` None: never."""

    identity: Identity
    sha256: str
    expires_at: datetime | None


class TokenFile:
    """The tokens of a file, read again whenever it changed."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Read the file.

        Raises:
            Invalid: it cannot be read, or an entry is wrong.
        """
        self._path = path
        self._now = now
        self._reading = threading.Lock()
        self._seen = _version(path)
        self._by_sha256 = _by_sha256(read_tokens(path))

    def check(self, token: str) -> Identity:
        """Whose token it is.

        Raises:
            Unauthenticated: nobody's, or it has expired.
        """
        self._read_if_changed()
        # The time of a look-up by hash tells nothing: nobody can find tokens whose hashes lie near
        # to one that is not known.
        found = self._by_sha256.get(hash_token(token))
        if found is None:
            raise Unauthenticated("the token is not known")
        if found.expires_at is not None and found.expires_at <= self._now():
            raise Unauthenticated("the token has expired")
        return found.identity

    def _read_if_changed(self) -> None:
        version = _version(self._path)
        if version == self._seen:
            return
        with self._reading:
            if version == self._seen:
                return
            try:
                self._by_sha256 = _by_sha256(read_tokens(self._path))
                metrics.CREDENTIALS_FILE_WRONG.set(0)
                log.info("%d tokens were read anew", len(self._by_sha256))
            except Invalid as error:
                metrics.CREDENTIALS_FILE_WRONG.set(1)
                log.error("the tokens of before stay in force: %s", error.detail)  # noqa: TRY400
            self._seen = version


def hash_token(token: str) -> str:
    """What a file keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path) -> tuple[TokenEntry, ...]:
    """The entries of a file of tokens.

    Raises:
        Invalid: it cannot be read, or an entry is wrong; says which and what would be right.
    """
    try:
        read = yaml.safe_load(path.read_text())
    except OSError as error:
        raise Invalid.field(_SETTING, f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        # The parser quotes the line, and somebody may have pasted a token into it.
        raise Invalid.field(_SETTING, f"{path} is not YAML") from None
    listed = read.get("tokens") if isinstance(read, dict) else None
    if not isinstance(listed, list):
        raise Invalid.field(_SETTING, f"{path} must be a mapping with a list named tokens")
    return tuple(_entry(number, entry) for number, entry in enumerate(listed, 1))


def _by_sha256(entries: Sequence[TokenEntry]) -> Mapping[str, TokenEntry]:
    # The first, should somebody list a token twice.
    return {entry.sha256: entry for entry in reversed(entries)}


def _version(path: Path) -> tuple[int, int, int] | None:
    """What differs when the file was changed, also when a Secret's link was turned to another."""
    try:
        found = os.stat(path)  # noqa: PTH116 - runs on each request; Path.stat costs twice as much
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _entry(number: int, entry: Any) -> TokenEntry:
    try:
        return _read(entry)
    except KeyError as error:
        wrong = f"{error.args[0]} is missing"
    except Unauthenticated:
        wrong = "the name must be 1 to 200 printable characters, and not one of the service's own"
    except (ValueError, TypeError) as error:
        wrong = str(error)
    raise Invalid.field(_SETTING, f"token {number}: {wrong}")


def _read(entry: Any) -> TokenEntry:
    unknown = ", ".join(sorted(set(entry) - _FIELDS))
    if unknown:
        raise ValueError(f"unknown fields: {unknown}")
    identity = Identity(valid_name(entry["name"]), frozenset(map(Role, entry["roles"])))
    digest = entry["sha256"]
    if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        raise ValueError("sha256 must be 64 hexadecimal digits, small letters")
    return TokenEntry(identity, digest, _time(entry.get("expires_at")))


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError("expires_at must be a time such as 2027-01-31T00:00:00Z")
    return value if value.tzinfo else value.replace(tzinfo=UTC)
