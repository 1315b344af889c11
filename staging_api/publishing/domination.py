"""Domination: select the publications of a suite that a newer one supersedes.

The rules are those of Launchpad's publisher:

- Of a source, the newest version stays. Of equal versions, the one published last is the newest.
- Of a binary, the newest version is chosen for each architecture separately, among the packages for
  it and those for ``all``. A package that is the newest for some architecture stays.
- The same package in two components does not supersede itself.
- An old package for ``all`` also stays while an architecture-specific package of the same source
  release stays: an architecture without a build of the new release may still need it.

Packages for the installer (.udeb) have separate names, and are never compared with .deb packages.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

#: The architecture of packages that run on all architectures.
ALL = "all"


@dataclass(frozen=True)
class PublishedVersion:
    """An active publication in one suite, source or binary.

    Attributes:
        id: id of the publication.
        name: name of the package.
        version_key: `Version.sort_key`.
        created_at: when the publication was created; with the id it decides between equal versions.
        source_release: the source release itself, or the one that the binary was built from.
        architecture: architecture of a binary; "" for a source.
        installer: whether it is a .udeb.
        release: the release; two publications of the same release differ in their component.
    """

    id: str
    name: str
    version_key: str
    created_at: datetime
    source_release: Hashable
    architecture: str
    installer: bool
    release: Hashable


@dataclass(frozen=True)
class Supersession:
    """A publication and the one that supersedes it, by their ids."""

    id: str
    by: str


def dominate_sources(publications: Iterable[PublishedVersion]) -> list[Supersession]:
    """Return the sources of one suite that a newer version supersedes."""
    offers = _by_name(publications).values()
    return [Supersession(old, by) for offer in offers for old, by in _superseded_by(offer).items()]


def dominate_binaries(
    publications: Sequence[PublishedVersion], architectures: Iterable[str]
) -> list[Supersession]:
    """Return the binaries of one suite that newer ones supersede.

    Args:
        publications: the active publications.
        architectures: the architectures of the suite, without ``all``.
    """
    visible = [{architecture, ALL} for architecture in architectures]
    # A package for `all` can be superseded on one architecture, and still be the newest on another.
    superseded_by: dict[str, str] = {}
    newest: set[str] = set()
    for group in _by_name(publications).values():
        for seen in visible:
            offer = [each for each in group if each.architecture in seen]
            losers = _superseded_by(offer)
            superseded_by |= losers
            newest |= {each.id for each in offer} - losers.keys()
    return _without_still_needed(
        publications, {old: by for old, by in superseded_by.items() if old not in newest}
    )


def _without_still_needed(
    publications: Sequence[PublishedVersion], superseded_by: dict[str, str]
) -> list[Supersession]:
    """Second pass: keep packages for `all` whose architecture-specific siblings stay."""
    lives_on = {
        each.source_release
        for each in publications
        if each.architecture != ALL and each.id not in superseded_by
    }
    return [
        Supersession(each.id, superseded_by[each.id])
        for each in publications
        if each.id in superseded_by
        and not (each.architecture == ALL and each.source_release in lives_on)
    ]


def _by_name(
    publications: Iterable[PublishedVersion],
) -> dict[tuple[bool, str], list[PublishedVersion]]:
    groups: defaultdict[tuple[bool, str], list[PublishedVersion]] = defaultdict(list)
    for each in publications:
        groups[each.installer, each.name].append(each)
    return groups


def _superseded_by(offer: Sequence[PublishedVersion]) -> dict[str, str]:
    """Map the id of each publication that is not of the newest release to the id of the newest."""
    if not offer:
        return {}
    newest = max(offer, key=_age)
    return {each.id: newest.id for each in offer if each.release != newest.release}


def _age(publication: PublishedVersion) -> tuple[str, datetime, str]:
    return publication.version_key, publication.created_at, publication.id
