"""Debian versions: parser and sort key.

The order is dpkg's (Debian policy 5.6.12): an epoch compares as a number; the upstream version and
then the revision are compared by alternating between text without digits and numbers. In text a
tilde sorts before the end, the end before letters, letters before anything else.

`sort_key` encodes a version as printable ASCII text whose byte order (PostgreSQL's ``COLLATE "C"``,
`sorted` in Python) is the version order, so that SQL needs no extra function. The key has:

    text      ``~`` as ``!``, letters as they are, ``+-.:`` as ``{|}~``
    its end   ``.``: above ``!``, below every letter
    a number  no leading zeros, one letter for its count of digits, then the digits

The letter for the length sorts 10 after 9 without padding. Equal versions (``1.0``, ``0:1.00-0``)
have equal keys, although their texts differ.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from staging_api.debian.errors import FormatError

#: Limit of this service, so that a key always fits into a PostgreSQL index row.
MAX_LENGTH = 256

#: dpkg stores the epoch in a signed int.
MAX_EPOCH = 2**31 - 1

_EPOCH = re.compile(r"[0-9]{1,10}")
_UPSTREAM = re.compile(r"[0-9][A-Za-z0-9.+~:-]*")
_REVISION = re.compile(r"[A-Za-z0-9.+~]+")
_TURNS = re.compile(r"([^0-9]*)([0-9]*)")
_TEXT_ORDER = str.maketrans("~+-.:", "!{|}~")
_END = "."
_LONG = 25  # digit counts from here on take the letter z and four digits


@dataclass(frozen=True)
class Version:
    """A parsed version.

    Attributes:
        text: the version as written; index files show this text.
        epoch: the number before the colon; 0 if there is none.
        upstream: the version chosen by the authors.
        revision: the part after the last hyphen; "" if there is none, which equals "0".
    """

    text: str
    epoch: int
    upstream: str
    revision: str

    @property
    def without_epoch(self) -> str:
        """The version as it appears in file names."""
        return f"{self.upstream}-{self.revision}" if self.revision else self.upstream

    @cached_property
    def sort_key(self) -> str:
        """ASCII text whose byte order is Debian's version order."""
        return _number(str(self.epoch)) + _part(self.upstream) + _part(self.revision)


def parse_version(text: str) -> Version:
    """Parse a version strictly by Debian policy 5.6.12.

    Raises:
        FormatError: the text is not a version, or longer than `MAX_LENGTH`.
    """
    epoch, rest = text.split(":", 1) if ":" in text else ("0", text)
    upstream, hyphen, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    valid = (
        len(text) <= MAX_LENGTH
        and _EPOCH.fullmatch(epoch)
        and int(epoch) <= MAX_EPOCH
        and _UPSTREAM.fullmatch(upstream)
        and (not hyphen or _REVISION.fullmatch(revision))
    )
    if not valid:
        raise FormatError(f"Version: {text[:80]!r} is not a Debian version")
    return Version(text, int(epoch), upstream, revision)


def _part(part: str) -> str:
    """Return the key of an upstream version or a revision; an empty part equals zero."""
    turns = _TURNS.findall(part or "0")[:-1]  # findall always adds one empty match at the end
    keys = (text.translate(_TEXT_ORDER) + _END + _number(digits) for text, digits in turns)
    return "".join(keys) + _END


def _number(digits: str) -> str:
    significant = digits.lstrip("0")
    length = len(significant)
    count = chr(ord("a") + length) if length < _LONG else f"z{length:04}"
    return count + significant
