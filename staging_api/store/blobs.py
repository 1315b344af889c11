"""Blobs: contents named by their sha256; their names, and the marker of a store of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from staging_api.errors import NotFound

#: Called with a number of bytes before they are written; an exception ends the writing.
Reserve = Callable[[int], None]
#: Called with the name of every step that was done: where a test can pull the plug.
Checkpoint = Callable[[str], None]

_DIGEST = re.compile(r"[0-9a-f]{64}")
#: The marker of a store, at its root: a ULID, which its database has, too.
MARKER = "store-id"
_MARKER = re.compile(rb"([0-9A-HJKMNP-TV-Z]{26})\n?")
#: How long what was quarantined is kept for an operator to look at.
KEPT_ASIDE_SECONDS = 30 * 24 * 3600.0


def no_limit(_count: int) -> None:
    """Reserve nothing: there is no quota."""


def no_stop(_step: str) -> None:
    """A checkpoint that lets everything pass."""


def key_of(sha256: str) -> str:
    """Where the blob of this digest lies in a store, or would lie.

    Raises:
        NotFound: this is not a digest.
    """
    if _DIGEST.fullmatch(sha256) is None:
        raise NotFound("a blob is named by 64 lower-case hexadecimal digits")
    return f"sha256/{sha256[:2]}/{sha256}"


def identity_in(marker: bytes) -> str | None:
    """The ULID that a marker has; None: it was damaged."""
    found = _MARKER.fullmatch(marker)
    return found[1].decode() if found else None


def is_digest(name: str, shard: str) -> bool:
    """Whether a file of this name can be a blob of this shard."""
    return name.startswith(shard) and _DIGEST.fullmatch(name) is not None


@dataclass(frozen=True)
class Blob:
    """Content that was kept: its digest, in hex, and its length."""

    sha256: str
    size_bytes: int
