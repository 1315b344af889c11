"""What a source of archives is: the words the engine uses, whatever the scheme."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class SourceObject:
    """One object of an archive, as its source describes it.

    Attributes:
        name: relative to the archive, ``/`` between segments.
        url: where it is, free of credentials; what auditors see as ``source_url``.
        size_bytes: its length, or None where the source does not say.
        version: changes whenever the content does (generation, ETag, or mtime and size);
            None where the source has no such word.
        digests: what the source says of the content, hex by algorithm
            (``md5``, ``crc32c``, ``sha256``).
    """

    name: str
    url: str
    size_bytes: int | None = None
    version: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Read access to the objects below one archive URL."""

    def names(self) -> list[str]:
        """Name every object of the archive.

        Raises:
            ArchiveNotFound: there is nothing at that address.
            SourceFailed: the source did not answer, or cannot list.
        """

    def stat(self, name: str) -> SourceObject:
        """Describe one object without reading it.

        Raises:
            ArtifactNotFound: there is no such object.
            SourceFailed: the source did not answer.
        """

    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the bytes from `start` up to, not including, `end` (None: to the last).

        Raises:
            SourceChanged: the object is no longer the version that `found` describes.
            SourceFailed: the source did not deliver every byte.
        """
