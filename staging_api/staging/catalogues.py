"""Choose the catalogue of an archive by the prefix of its URL.

The setting lists catalogues, each a built-in one or a file::

    gs://builds/android/=android, https://example.org/=/etc/staging/tools.yaml, everything

The longest prefix that covers an archive decides; the entry without a prefix is for all others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from staging_api.catalogue.catalogue import Catalogue, builtin_names
from staging_api.errors import CatalogueInvalid, Invalid
from staging_api.sources.url import ArchiveUrl, most_specific_first, parse_setting

_FIELD = "STAGING_CATALOGUE"


@dataclass(frozen=True)
class CatalogueOfPrefix:
    """The catalogue of the archives at or below a URL; without a prefix, of all others."""

    catalogue: Catalogue
    prefix: ArchiveUrl | None = None

    def covers(self, url: ArchiveUrl) -> bool:
        """Return whether this entry applies to `url`."""
        return self.prefix is None or self.prefix.covers(url)


@dataclass(frozen=True)
class Catalogues:
    """The catalogues of a service; each archive has one."""

    others: Catalogue
    prefixed: tuple[CatalogueOfPrefix, ...] = ()

    @classmethod
    def parse(cls, setting: str) -> "Catalogues":
        """Parse the setting; an empty one means the built-in catalogue alone.

        Raises:
            Invalid: of field ``STAGING_CATALOGUE``: a prefix is no URL, or occurs twice.
            CatalogueInvalid: a catalogue is unknown, or a line of it is wrong.
        """
        entries = [_entry(text.strip()) for text in setting.split(",") if text.strip()]
        for number, entry in enumerate(entries):
            if entry.prefix in [other.prefix for other in entries[:number]]:
                which = entry.prefix.canonical if entry.prefix else "all other archives"
                raise Invalid.field(_FIELD, f"has two catalogues for {which}")
        others = [entry.catalogue for entry in entries if entry.prefix is None]
        prefixed = tuple(entry for entry in entries if entry.prefix is not None)
        return cls(others[0] if others else Catalogue.load(), prefixed)

    def __iter__(self) -> Iterator[CatalogueOfPrefix]:
        """Yield the catalogues in the order in which they are tried."""
        yield from self._by_length
        yield CatalogueOfPrefix(self.others)

    def of(self, url: ArchiveUrl) -> Catalogue:
        """Return the catalogue of an archive."""
        return next(entry.catalogue for entry in self if entry.covers(url))

    @cached_property
    def _by_length(self) -> list[CatalogueOfPrefix]:
        return sorted(self.prefixed, key=lambda entry: most_specific_first(entry.prefix))


def _entry(text: str) -> CatalogueOfPrefix:
    if "://" not in text:
        return CatalogueOfPrefix(_catalogue(text))
    # Split at the last ``=``: the path of a URL may contain one, too.
    prefix, equals, word = text.rpartition("=")
    if not equals or not word:
        raise Invalid.field(_FIELD, f"{text!r} must be written PREFIX=CATALOGUE")
    return CatalogueOfPrefix(_catalogue(word), parse_setting(prefix, _FIELD))


def _catalogue(word: str) -> Catalogue:
    if word in builtin_names():
        return Catalogue.builtin(word)
    path = Path(word)
    # A bare word is more likely a mistyped built-in catalogue than a file: name the built-in ones.
    if not path.exists() and "/" not in word and not path.suffix:
        known = ", ".join(builtin_names())
        raise CatalogueInvalid(f"{word} is neither a file nor one of {known}")
    return Catalogue.load(path)
