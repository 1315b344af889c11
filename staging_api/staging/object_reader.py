"""Read one object of a source: monitored, hashed, and verified after all of it was read."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from staging_api.errors import ArchiveCorrupt
from staging_api.sources.model import SourceObject
from staging_api.store.digest import Digests

#: Called with the bytes done and the total (None: not known).
Progress = Callable[[int, int | None], None]
#: Streams the bytes of one object from a position up to another, or to its end.
Open = Callable[[int, int | None], AbstractContextManager[Iterator[bytes]]]


@dataclass
class TransferMonitor:
    """Checks before every chunk of a transfer whether to go on, and reports the bytes done."""

    progress: Progress
    check: Callable[[], None]
    total: int | None
    done: int = 0

    def monitored(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks, checking before and counting each."""
        for chunk in chunks:
            self.check()
            self.count(len(chunk))
            yield chunk

    def count(self, count: int) -> None:
        """Report that `count` more bytes are done."""
        self.done += count
        self.progress(self.done, self.total)

    def without_progress(self) -> "TransferMonitor":
        """Return a monitor that checks, but reports no progress: for bytes from the store."""
        return TransferMonitor(lambda _done, _total: None, self.check, None)


class ObjectReader:
    """A source object for extractors; the first reading from start to end is hashed."""

    def __init__(
        self,
        source_object: SourceObject,
        open_at: Open,
        monitor: TransferMonitor,
        digests: Digests,
        *,
        read_before: bool = False,
    ) -> None:
        """Read an object; with `read_before`, all of it went through `digests` already."""
        self._object = source_object
        self._open_at = open_at
        self._monitor = monitor
        self._digests = digests
        self._read_before = self._ended = read_before

    @property
    def name(self) -> str:
        """The object's name in the archive."""
        return self._object.name

    @property
    def checked(self) -> str | None:
        """The declared digest with which `verified` compares the content, if any."""
        checked = self._digests.checked
        return self._object.proof_by(checked) if checked else None

    @property
    def size_bytes(self) -> int | None:
        """The object's length, if its source declares it."""
        return self._object.size_bytes

    @contextmanager
    def open(self, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        """Stream a range of the object."""
        with self._open_at(start, end) as chunks:
            monitored = self._monitor.monitored(chunks)
            # Only the first complete reading is hashed: the digests take each byte once.
            whole = start == 0 and end is None and not self._digests.size_bytes
            yield self._hashed(monitored) if whole else monitored

    def verified(self, kept_sha256: str) -> tuple[str, int] | None:
        """Compare digests; return sha256 and length of the object if all of it was read.

        Args:
            kept_sha256: digest of the stored file, if the object was kept unchanged.

        Raises:
            ArchiveCorrupt: the object does not have the digest that its source declares.
        """
        if not self._ended:
            return None
        sha256 = self._digests.sha256(kept_sha256)
        if broken := self._digests.broken(sha256):
            declares = self._object.witness or "its source"
            raise ArchiveCorrupt(f"{self.name} does not have the {broken} that {declares} declares")
        return sha256, self._digests.size_bytes

    def _hashed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._digests.update(chunk)
            yield chunk
        self._ended = True
