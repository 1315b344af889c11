"""Values that several examples of bodies share."""

from collections.abc import Mapping
from typing import Any

ARCHIVE = "gs://builds/board/R17-1208.0.0"
FOLDER = "board/R17-1208.0.0"
SHA256 = "47ee7bc3e3fb4b1a42570019e5fbb83c1d4087a1b0cfefb335b61cca06f96f0b"
STAGING, ARTIFACT, LOCK, RUN, GENERATION, UPLOAD, PRUNE, REQUEST = (
    f"01KBRG6V3Q0000000000000{end}"
    for end in ("STG", "ART", "0CK", "R0N", "GEN", "0PD", "PRN", "REQ")
)
MARKER = "6f2c1f0e-9f5c-4d6e-8d0a-0a4a3b1f7c11"
HOLDER = "pod-3:12:1"
EARLY, THEN, LATER = (f"2026-11-22T09:{minute}:00Z" for minute in ("00", "02", "45"))


def nulls(*names: str) -> Mapping[str, None]:
    """Return fields that have no value yet."""
    return dict.fromkeys(names)


GRANT = {
    "id": LOCK,
    "kind": "archive",
    "scope": ARCHIVE,
    "caller": "ci",
    "holder": HOLDER,
    "reference_id": MARKER,
    "acquired_at": EARLY,
    "expires_at": THEN,
    **nulls("ended_at", "outcome", "ended_by", "reason"),
    "renewals": 7,
    "waiters": 1,
    "fence": None,
}


def page(item: Mapping[str, Any], following: Any = None, **more: Any) -> Mapping[str, Any]:
    """Return a page of a list."""
    return {"items": [item], "next": following, **more}
