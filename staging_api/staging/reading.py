"""Read one object of a source: watched, hashed, and checked when all of it was read."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from staging_api.artifacts.digest import Digests
from staging_api.errors import ArchiveCorrupt
from staging_api.sources.model import SourceObject

#: How many bytes came, of how many (None: not known).
Progress = Callable[[int, int | None], None]
#: Streams the bytes of one object from a position up to another, or to its end.
Open = Callable[[int, int | None], AbstractContextManager[Iterator[bytes]]]


@dataclass
class Tap:
    """Every piece that comes passes here: the place to stop, and to tell how far it is."""

    progress: Progress
    check: Callable[[], None]
    total: int | None
    done: int = 0

    def passing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Hand the pieces on, one by one."""
        for chunk in chunks:
            self.check()
            self.count(len(chunk))
            yield chunk

    def count(self, count: int) -> None:
        """Tell that so many bytes more are done."""
        self.done += count
        self.progress(self.done, self.total)

    def silent(self) -> "Tap":
        """A tap for what does not come from the source: the place to stop, and no more."""
        return Tap(lambda _done, _total: None, self.check, None)


class Reading:
    """An object as extractors read it; a reading from its front to its end is hashed."""

    def __init__(self, found: SourceObject, open_at: Open, tap: Tap, digests: Digests) -> None:
        self._found = found
        self._open_at = open_at
        self._tap = tap
        self._digests = digests
        self._ended = False

    @property
    def name(self) -> str:
        """The object's name in the archive."""
        return self._found.name

    @property
    def checked(self) -> str | None:
        """The digest by which `verified` compares it with what its source told, if any."""
        return self._digests.checked

    @property
    def size_bytes(self) -> int | None:
        """The object's length, if its source says so."""
        return self._found.size_bytes

    @contextmanager
    def open(self, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        """Stream a part."""
        with self._open_at(start, end) as chunks:
            passing = self._tap.passing(chunks)
            yield self._hashed(passing) if start == 0 and end is None else passing

    def verified(self, kept_sha256: str) -> tuple[str, int] | None:
        """Compare digests; give sha256 and length of the object if all of it was read.

        Args:
            kept_sha256: of the file that it became, if it was kept as it is.

        Raises:
            ArchiveCorrupt: the object does not have the digest that its source told.
        """
        if not self._ended:
            return None
        sha256 = self._digests.sha256(kept_sha256)
        if broken := self._digests.broken(sha256):
            raise ArchiveCorrupt(f"{self.name} does not have the {broken} that its source told")
        return sha256, self._digests.size_bytes

    def _hashed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._digests.update(chunk)
            yield chunk
        self._ended = True
