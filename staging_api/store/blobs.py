"""Blobs: contents named by their sha256; their keys, and the marker of a store."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from staging_api.errors import NotFound

#: Called with a number of bytes before they are written; an exception ends the writing.
Reserve = Callable[[int], None]
#: Called with the name of each completed step; tests simulate a crash there.
Checkpoint = Callable[[str], None]

_DIGEST = re.compile(r"[0-9a-f]{64}")
#: Name of a store's marker, at its root: it contains a ULID that the database has, too.
MARKER = "store-id"
_MARKER = re.compile(rb"([0-9A-HJKMNP-TV-Z]{26})\n?")
#: How long quarantined files are kept for operators.
KEPT_ASIDE_SECONDS = 30 * 24 * 3600.0


def no_limit(_count: int) -> None:
    """Reserve nothing: there is no quota."""


def no_stop(_step: str) -> None:
    """Do nothing: a checkpoint without effect."""


def key_of(sha256: str) -> str:
    """Return the key of the blob with this digest in a store.

    Raises:
        NotFound: this is not a digest.
    """
    if _DIGEST.fullmatch(sha256) is None:
        raise NotFound("a blob is named by 64 lower-case hexadecimal digits")
    return f"sha256/{sha256[:2]}/{sha256}"


def identity_in(marker: bytes) -> str | None:
    """Return the ULID in a marker; None: the marker is damaged."""
    found = _MARKER.fullmatch(marker)
    return found[1].decode() if found else None


def is_digest(name: str, shard: str) -> bool:
    """Return whether a file with this name can be a blob of this shard."""
    return name.startswith(shard) and _DIGEST.fullmatch(name) is not None


@dataclass(frozen=True)
class Blob:
    """Stored content: its digest, in hex, and its length."""

    sha256: str
    size_bytes: int
