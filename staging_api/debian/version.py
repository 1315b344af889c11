"""Debian versions: parsing them, and their order.

The order is dpkg's (Debian policy 5.6.12): an epoch compares as a number; the upstream version and
then the revision compare by turns as text without digits and as numbers. In text a tilde sorts
before the end, the end before letters, letters before anything else.

`sort_key` writes that order into printable ASCII text, so that plain byte order (PostgreSQL's
``COLLATE "C"``, `sorted` in Python) is version order and SQL needs no function of ours. It holds:

    text      ``~`` as ``!``, letters as they are, ``+-.:`` as ``{|}~``
    its end   ``.``: above ``!``, below every letter
    a number  no leading zeros, one letter for its count of digits, then the digits

A letter for the length is what makes 10 come after 9 without padding. Equal versions (``1.0``,
``0:1.00-0``) have equal keys, which no comparison of their text would show.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from staging_api.debian.errors import FormatError

#: Our own bound, so that a key always fits into a PostgreSQL index row.
MAX_LENGTH = 256

#: dpkg keeps the epoch in a signed int.
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
    """One version, taken apart.

    Attributes:
        text: as it was written; this is what index files show.
        epoch: the number before the colon, 0 when there is none.
        upstream: the part that the authors chose.
        revision: the part behind the last hyphen; "" when there is none, which equals "0".
    """

    text: str
    epoch: int
    upstream: str
    revision: str

    @property
    def without_epoch(self) -> str:
        """The version as file names carry it."""
        return f"{self.upstream}-{self.revision}" if self.revision else self.upstream

    @cached_property
    def sort_key(self) -> str:
        """ASCII text whose byte order is Debian's version order."""
        return _number(str(self.epoch)) + _part(self.upstream) + _part(self.revision)


def parse_version(text: str) -> Version:
    """Take a version apart, by the letter of Debian policy 5.6.12.

    Raises:
        FormatError: it is not a version, or longer than `MAX_LENGTH`.
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
    """The key of an upstream version or a revision; nothing at all equals zero."""
    turns = _TURNS.findall(part or "0")[:-1]  # findall always adds one empty match at the end
    keys = (text.translate(_TEXT_ORDER) + _END + _number(digits) for text, digits in turns)
    return "".join(keys) + _END


def _number(digits: str) -> str:
    significant = digits.lstrip("0")
    length = len(significant)
    count = chr(ord("a") + length) if length < _LONG else f"z{length:04}"
    return count + significant
