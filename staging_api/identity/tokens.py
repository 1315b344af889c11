"""Tokens in a file, as hashes; a change of the file takes effect with the next request.

    tokens:
      - name: ci-builders
        roles: [stager]
        sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
        expires_at: 2027-01-31T00:00:00Z

A token is 256 random bits, so its plain sha256 cannot be reversed; a slow hash, which protects
guessable passwords, would only cost each request a tenth of a second. Two entries may have the same
name, so that a token can be replaced without a gap.

What if the file is invalid, cut off or missing after a change? The last valid list stays in force.
A token that the list does not contain is then "cannot be checked" instead of "not known": it may be
in the new file. The log and ``staging_credentials_file_wrong`` report the fault. The file is read
again until that succeeds.

A file that was cut off between two entries is valid YAML. So `staging-api token` begins and ends
the file with marker lines. A file without markers is accepted, unless it is the beginning of a
previous file that ended with the marker, or has become empty. If it is the beginning of a previous
file without the marker, either it is still being written, or its last entries were removed on
purpose. So it is accepted once it has not changed for `SETTLING_SECONDS`; until then the previous
tokens stay valid. A file that ends within a previous entry is never accepted.
"""

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from staging_api import metrics
from staging_api.errors import Invalid, Unauthenticated
from staging_api.identity.model import Principal, Role, valid_name
from staging_api.identity.outage import OutageCause, cannot_check
from staging_api.small_files import FileVersion, file_version, read_small_file

log = logging.getLogger(__name__)

#: The first and the last line of a file made by `staging-api token`.
BEGIN = "# Tokens of staging_api. Keep the last line: without it the file is taken for cut off."
END = "# end of tokens"

_SETTING = "STAGING_TOKENS_FILE"
_TRY_AGAIN_SECONDS = 1.0
#: Time during which a file that looks like the beginning of the previous one may still be
#: completed.
SETTLING_SECONDS = 180.0
_SHA256 = re.compile("[0-9a-f]{64}")
_FIELDS = {"name", "roles", "sha256", "expires_at"}


@dataclass(frozen=True)
class TokenEntry:
    """One entry of the file; `expires_at` None: it never expires."""

    identity: Principal
    sha256: str
    expires_at: datetime | None


@dataclass(frozen=True)
class TokenList:
    """Content of a file; `is_marked`: its last line is `END`."""

    entries: tuple[TokenEntry, ...]
    is_marked: bool
    text: str

    def is_cut_off(self, before: "TokenList") -> bool:
        """Return whether this is a cut-off copy of `before` instead of an intended change."""
        if self.is_marked:
            return False
        if before.entries and not self.entries:
            return True
        ends_within = self.entries != before.entries[: len(self.entries)]
        return self._begins(before) and (before.is_marked or ends_within)

    def could_be_cut_off(self, before: "TokenList") -> bool:
        """Return whether this may be a cut-off copy of `before`, or may lack entries on purpose."""
        fewer = len(self.entries) < len(before.entries)
        return fewer and not self.is_marked and self._begins(before)

    def _begins(self, before: "TokenList") -> bool:
        return before.text.startswith(self.text.rstrip())


class TokenFile:
    """The tokens of a file, read again whenever it changes."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file.

        Raises:
            Invalid: the file cannot be read, or an entry is wrong.
        """
        self._path = path
        self._now = now
        self._clock = clock
        self._reading = threading.Lock()
        self._seen = file_version(path)
        self._tried: FileVersion = None
        self._try_again_at = float("-inf")
        self._is_wrong = False
        self._short: FileVersion = None
        self._short_since = float("-inf")
        self._read_list = read_list(path)
        self._by_sha256 = _by_sha256(self._read_list.entries)

    def check(self, token: str) -> Principal:
        """Return the identity of a token.

        Raises:
            Unauthenticated: the token is not known, or has expired.
            IdentityUnavailable: the token is not known, and the changed file cannot be read.
        """
        # A look-up by hash has no useful timing side channel: nobody can construct a token whose
        # hash is close to another.
        return self.recall(hash_token(token))

    def recall(self, sha256: str) -> Principal:
        """Return the identity of the token with this digest.

        Raises:
            Unauthenticated: the token is not known, or has expired.
            IdentityUnavailable: the token is not known, and the changed file cannot be read.
        """
        self._read_if_changed()
        found = self._by_sha256.get(sha256)
        if found is None and self._is_wrong:
            raise cannot_check(OutageCause.FILE, "the file of tokens cannot be read just now")
        if found is None:
            raise Unauthenticated("the token is not known")
        if found.expires_at is not None and found.expires_at <= self._now():
            raise Unauthenticated("the token has expired")
        return found.identity

    def _read_if_changed(self) -> None:
        version = file_version(self._path)
        if version == self._seen and not self._is_wrong:
            return
        with self._reading:
            if version == self._seen and not self._is_wrong:
                return
            # An unreadable file may become readable without any change of its status.
            if version == self._tried and self._clock() < self._try_again_at:
                return
            self._tried, self._try_again_at = version, self._clock() + _TRY_AGAIN_SECONDS
            try:
                self._take(read_list(self._path), version)
            except Invalid as error:
                if not self._is_wrong:
                    log.error("the previous tokens stay in force: %s", error.detail)  # noqa: TRY400
                self._is_wrong = True
            metrics.CREDENTIALS_FILE_WRONG.set(int(self._is_wrong))

    def _take(self, found: TokenList, version: FileVersion) -> None:
        """Put `found` in force.

        Raises:
            Invalid: it looks like the beginning of a file that is still being written.
        """
        before = self._read_list
        counts = f"({len(found.entries)} tokens before it, {len(before.entries)} until now)"
        if found.is_cut_off(before) or self._may_be_completed(found, version):
            raise Invalid.field(
                _SETTING,
                f"{self._path} seems to be cut off: its last line must be `{END}` {counts}",
            )
        if found.could_be_cut_off(before):
            log.error("%s lost its last entries, and no line `%s` says why", self._path, END)
        self._read_list = found
        self._by_sha256 = _by_sha256(found.entries)
        self._is_wrong = False
        # A change made during the read is picked up by the next request.
        self._seen = version
        log.info("the tokens file was read again: %d tokens", len(found.entries))

    def _may_be_completed(self, found: TokenList, version: FileVersion) -> bool:
        """Return whether a file that looks cut off may still be written to."""
        if not found.could_be_cut_off(self._read_list):
            return False
        if version != self._short:
            self._short, self._short_since = version, self._clock()
        return self._clock() - self._short_since < SETTLING_SECONDS


def hash_token(token: str) -> str:
    """Return the digest that the file stores for a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_list(path: Path) -> TokenList:
    """Return the entries of a tokens file.

    Raises:
        Invalid: the file cannot be read, is cut off, or an entry is wrong; the message says which,
            and what would be right.
    """
    text = ""
    try:
        text = read_small_file(path)
        read = yaml.load(text, _Loader)  # noqa: S506 - a safe one
    except OSError as error:
        raise Invalid.field(_SETTING, f"{path} cannot be read: {error.strerror}") from None
    except _Twice as error:
        raise Invalid.field(_SETTING, f"{path}: line {error.line} repeats a key") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Only its line number: the parser quotes the line, which may contain a token.
        raise Invalid.field(_SETTING, f"{path}{_line_of(error, text)} is not YAML") from None
    lines = text.split("\n")
    is_marked = text.rstrip().rpartition("\n")[2] == END
    if BEGIN in lines and not is_marked:
        raise Invalid.field(_SETTING, f"{path} is cut off: its last line must be `{END}`")
    listed = read.get("tokens", ()) if isinstance(read, dict) else ()
    if listed is None and is_marked:
        listed = []
    if not isinstance(listed, list):
        raise Invalid.field(_SETTING, f"{path} must be a mapping with a list named tokens")
    entries = tuple(_entry(number, entry) for number, entry in enumerate(listed, 1))
    return TokenList(entries, is_marked, text)


def _line_of(error: Exception, text: str) -> str:
    """Return `: line N` for the position at which the parser stopped, if it is known."""
    if isinstance(error, yaml.reader.ReaderError):
        return f": line {text.count(chr(10), 0, error.position) + 1}"
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f": line {mark.line + 1}" if mark else ""


class _Twice(ValueError):
    """A mapping repeats a key; YAML would silently drop the first of two lists of tokens."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class _Loader(yaml.SafeLoader):
    """YAML loader that refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise _Twice(key.start_mark.line + 1)
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def _by_sha256(entries: Sequence[TokenEntry]) -> Mapping[str, TokenEntry]:
    # The first entry wins if a token is listed twice.
    return {entry.sha256: entry for entry in reversed(entries)}


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
    identity = Principal(valid_name(entry["name"]), frozenset(map(Role, entry["roles"])))
    digest = entry["sha256"]
    if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        raise ValueError("sha256 must be 64 hexadecimal digits in lower case")
    return TokenEntry(identity, digest, _time(entry.get("expires_at")))


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError("expires_at must be a time such as 2027-01-31T00:00:00Z")
    return value if value.tzinfo else value.replace(tzinfo=UTC)
