"""Try a catalogue on a real archive: the objects that each entry finds, and those of no entry."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from staging_api.catalogue.absence import absent_object
from staging_api.catalogue.catalogue import Catalogue
from staging_api.catalogue.model import ArtifactKind, Choice
from staging_api.errors import ArtifactAmbiguous
from staging_api.formats.names import shown
from staging_api.sources.manifest import read_manifest
from staging_api.sources.model import Source, SourceOptions
from staging_api.sources.url import ArchiveUrl

_MOST_LEFT_OUT = 100


@dataclass(frozen=True)
class EntryResult:
    """The result of one entry of a catalogue.

    Attributes:
        choice: the choice by which the artifact is found; the first one if it is not found.
        objects: the names of the objects.
        lands: the path of each, below the archive's folder; a folder, ending in ``/``, if it is
            unpacked.
        reason: why the artifact is not found.
    """

    kind: ArtifactKind
    choice: Choice
    in_default: bool
    objects: Sequence[str]
    lands: Sequence[str]
    reason: str | None


@dataclass(frozen=True)
class CatalogueResult:
    """The result of a catalogue on an archive.

    Attributes:
        left_over: the objects that no entry takes.
        left_out: the first names of the archive's list that no request can use, made printable.
        collisions: paths to which the default puts two files, or a file and others below it.
    """

    catalogue: Catalogue
    archive_url: str
    entries: Sequence[EntryResult]
    left_over: Sequence[str]
    left_out: Sequence[str]
    collisions: Sequence[str]


@dataclass(frozen=True)
class CatalogueCheck:
    """Tries a catalogue, reading only the list of an archive's objects."""

    open_archive: Callable[[ArchiveUrl], Source]
    options: SourceOptions

    def run(self, catalogue: Catalogue, url: ArchiveUrl) -> CatalogueResult:
        """Try a catalogue.

        Raises:
            ArchiveNotFound: there is no archive at the address.
            SourceFailed: the source did not answer, or has no list of its objects.
        """
        with closing(self.open_archive(url)) as source:
            manifest = read_manifest(source, self.options)
            names = source.names() if manifest is None else manifest.names
        default = {kind.name for kind in catalogue.resolve()}
        entries = [_tried(kind, names, url, kind.name in default) for kind in catalogue.kinds]
        taken = {name for entry in entries for name in entry.objects}
        return CatalogueResult(
            catalogue,
            url.canonical,
            entries,
            left_over=sorted(set(names) - taken - set(self.options.manifests)),
            left_out=[shown(name) for name in names.left_out[:_MOST_LEFT_OUT]],
            collisions=_collisions(entries),
        )


def _tried(
    kind: ArtifactKind, names: Sequence[str], url: ArchiveUrl, in_default: bool
) -> EntryResult:
    choice, objects, reason = kind.choices[0], list[str](), None
    try:
        way = next(kind.ways(names, url.build), None)
        if way is not None:
            choice, objects = way.choice, way.objects
        else:
            reason = absent_object(kind, names, url.canonical)
    except ArtifactAmbiguous as error:
        reason = error.detail
    lands = [kind.target(name if choice.is_plain else "", url.build) for name in objects]
    if not choice.is_plain and not kind.is_one_file:
        lands = [place or "./" for place in dict.fromkeys(lands)]
    return EntryResult(kind, choice, in_default, objects, lands, reason)


def _collisions(entries: Sequence[EntryResult]) -> list[str]:
    """Return the paths that the default would write twice, or that are folders as well."""
    places = Counter(place for entry in entries if entry.in_default for place in entry.lands)
    folders = {above for place in places for above in _folders_of(place)}
    return sorted(
        place
        for place, count in places.items()
        if not place.endswith("/") and (count > 1 or place in folders)
    )


def _folders_of(place: str) -> Iterator[str]:
    """Yield the folders above a path, and the path itself if it is a folder."""
    while place := place.rpartition("/")[0]:
        yield place
