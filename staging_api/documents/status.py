"""Comparison of the collections of two versions: pure functions, by digest."""

from collections.abc import Sequence
from dataclasses import dataclass

from staging_api.documents.refusals import RequestInvalid, VersionNotFound
from staging_api.documents.stored import BUFFER, COMMITTED, VERSIONS, State, Versions

UNMODIFIED = "unmodified"


@dataclass(frozen=True)
class VersionPair:
    """Two versions, the older one first, and their revisions (0: an empty one)."""

    base_version: str
    base_revision: int
    new_version: str
    new_revision: int


@dataclass(frozen=True)
class CollectionStatus:
    """Status of a collection in two versions."""

    collection_name: str
    base_version: str
    base_revision: int
    base_status: str
    new_version: str
    new_revision: int
    new_status: str


def ordered(requested: Sequence[str]) -> tuple[str, str]:
    """Return the two versions to compare, the older one first; `requested` has no or two names.

    Raises:
        RequestInvalid: the names are not two, or equal, or unknown.
    """
    names = [name.lower() for name in requested] or [COMMITTED, BUFFER]
    if len(names) != 2:  # noqa: PLR2004 - a comparison
        raise RequestInvalid(
            "Incorrect number of versions for comparison",
            "User must pass in 2 valid versions for comparison",
        )
    if names[0] == names[1]:
        raise RequestInvalid(
            "Versions must be different for comparison",
            "Versions must be unique in order to perform comparison",
        )
    for name, spelled in zip(names, requested or names, strict=True):
        if name not in VERSIONS:
            raise RequestInvalid(
                "Invalid version detected",
                f"{spelled} is not a valid version, which include: {', '.join(VERSIONS)}",
            )
    base, new = sorted(names, key=VERSIONS.index)
    return base, new


def revisions(names: tuple[str, str], versions: Versions) -> VersionPair:
    """Return the revisions of two versions; an empty buffer counts as the committed revision.

    Raises:
        VersionNotFound: a version of site actions does not exist.
    """
    base_name, new_name = names
    for name in names:
        if name not in (COMMITTED, BUFFER) and not versions.named(name):
            raise VersionNotFound("Version does not exist", f"{name} version does not exist")
    base = versions.named(base_name)
    new = versions.named(new_name)
    if new_name == BUFFER and not new:
        new = versions.committed or base
    return VersionPair(base_name, base, new_name, new)


def compare(pair: VersionPair, base: State, new: State) -> list[CollectionStatus]:
    """Return one entry for each collection in either version, ordered by name."""
    return [
        CollectionStatus(
            name,
            pair.base_version,
            pair.base_revision,
            "present" if name in base else "not present",
            pair.new_version,
            pair.new_revision,
            became(name, base, new),
        )
        for name in sorted(base.keys() | new.keys())
    ]


def became(name: str, base: State, new: State) -> str:
    """Return ``created``, ``deleted``, ``modified`` or ``unmodified``."""
    if name not in base:
        return "created" if name in new else UNMODIFIED
    if name not in new:
        return "deleted"
    return UNMODIFIED if base[name].digest == new[name].digest else "modified"


def changed(base: State, new: State) -> list[str]:
    """Return the names of the collections that differ, in order."""
    names = sorted(base.keys() | new.keys())
    return [name for name in names if became(name, base, new) != UNMODIFIED]
