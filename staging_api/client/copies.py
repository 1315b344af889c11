"""Write a copy of an APT archive to a folder or a bucket.

What if the process dies? Each file of a copy appears completely or not at all, in a folder and in a
bucket, and is written before the file that names it: readers of the copy always find the files that
an index names, and the next export continues.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from staging_api import environment
from staging_api.bucket_answers import bucket_failure
from staging_api.buckets import SERVICES
from staging_api.client.local_folder import disk_errors
from staging_api.errors import Invalid, Unavailable
from staging_api.proxies import library_proxy

_BUCKETS = tuple(f"{scheme}://" for scheme in SERVICES)
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class CopiedFile:
    """A file in the service's list."""

    path: str
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "CopiedFile":
        """Parse an item of the list.

        Raises:
            ValueError: its path leads out of the copy, on this system or on Windows.
        """
        path: str = item["path"]
        if "\\" in path or path[1:2] == ":" or {"", ".", ".."} & set(path.split("/")):
            raise ValueError(f"{path!r} names no file of a copy")
        return cls(path, item["sha256"], item["size_bytes"])

    @property
    def lasting(self) -> bool:
        """Whether the content of this path never changes."""
        return self.path.startswith("pool/") or "/by-hash/" in self.path


class Copy(Protocol):
    """Target of a copy."""

    def has(self, file: CopiedFile) -> bool:
        """Return whether the target has this version of a file (if lasting, compared by size)."""

    def bring(self, file: CopiedFile, fetch: Callable[[Path], object]) -> None:
        """Write the file to the target; `fetch` writes it to the path it gets, and verifies it."""

    def drop(self, path: str) -> None:
        """Remove the file if it exists."""


def copy_at(target: str | Path) -> Copy:
    """Return a bucket for ``s3://bucket/prefix`` and similar URLs (`SERVICES`), else a folder.

    Credentials, region and endpoint of a bucket come from the environment, as for the platform's
    own programs (``AWS_...``, ``GOOGLE_...``, ``AZURE_STORAGE_...``).

    Raises:
        Invalid: `target` is empty; or the bucket's address, or its configuration in the
            environment, is wrong.
    """
    if not str(target):
        raise Invalid.field("target", "must not be empty; the current folder is .")
    if str(target).startswith(_BUCKETS):
        return _Bucket(str(target))
    return _Folder(Path(target))


class _Folder:
    """A folder of this machine; created if it is missing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, file: CopiedFile) -> bool:
        path = self._root / file.path
        with disk_errors(path):
            if not path.is_file() or path.stat().st_size != file.size_bytes:
                return False
            return file.lasting or hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256

    def bring(self, file: CopiedFile, fetch: Callable[[Path], object]) -> None:
        fetch(self._root / file.path)

    def drop(self, path: str) -> None:
        with disk_errors(self._root / path):
            (self._root / path).unlink(missing_ok=True)


class _Bucket:
    """Objects below a prefix of a bucket."""

    def __init__(self, url: str) -> None:
        # Imported here: only a copy to a bucket needs the extra and its import time.
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ModuleNotFoundError:
            raise Invalid.field(
                "target", f"{url} needs an optional extra: pip install 'staging_api[buckets]'"
            ) from None

        try:
            self._store = from_url(url, **_connection(url))
        except (BaseError, ValueError) as error:
            raise Invalid.field("target", f"{url} cannot be used: {error}") from error
        self._name = url

    def has(self, file: CopiedFile) -> bool:
        with self._translated_errors():
            try:
                size = self._store.head(file.path)["size"]
            except FileNotFoundError:
                return False
            if size != file.size_bytes:
                return False
            if file.lasting:
                return True
            content = bytes(self._store.get(file.path).bytes())
            return hashlib.sha256(content).hexdigest() == file.sha256

    def bring(self, file: CopiedFile, fetch: Callable[[Path], object]) -> None:
        # An index changes under its name: caches in front of the bucket must revalidate it.
        caching = {"Cache-Control": _FOR_EVER if file.lasting else "no-cache"}
        # Written to this disk first: only bytes that `fetch` has verified reach the bucket.
        with (
            disk_errors(tempfile.gettempdir()),
            tempfile.TemporaryDirectory(prefix="export-") as folder,
        ):
            here = Path(folder) / "file"
            fetch(here)
            with self._translated_errors():
                self._store.put(file.path, here, attributes=caching)

    def drop(self, path: str) -> None:
        with self._translated_errors(), suppress(FileNotFoundError):
            self._store.delete(path)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        # A missing bucket looks like a missing file.
        except (BaseError, OSError) as error:
            # Only known words: the message may contain a secret.
            failure = bucket_failure(str(error), type(error).__name__)
            raise Unavailable(f"{self._name} failed: {failure.said}") from None


def _connection(url: str) -> dict[str, Any]:
    """Return options for the connection to a bucket that differ from the library's defaults.

    With these options the library ignores connection settings in the environment, so HTTP must be
    allowed here.
    """
    proxy = library_proxy(url.partition(":")[0], {}, environment.proxies())
    return {"client_options": {**proxy, "allow_http": True}} if proxy else {}
