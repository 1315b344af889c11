"""Damage to a store behind the service's back: truncated, changed, removed or replaced contents."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import obstore

from staging_api.store.blobs import key_of
from staging_api.store.bucket import Bucket


def change(url: str, sha256: str, by: Callable[[bytes], bytes | None]) -> None:
    """Replace the bytes of a blob without changing its name; None removes the blob."""
    if not url.startswith("file:"):
        bucket = Bucket.parse(url)
        objects, key = bucket.connect(), key_of(sha256)
        content = by(bytes(obstore.get(objects, key).bytes()))
        if content is None:
            obstore.delete(objects, key)
        else:
            obstore.put(objects, key, content, use_multipart=False)
        return
    path = path_of(url, sha256)
    if not path.is_file():
        raise FileNotFoundError(path)  # opening a pipe would block until a writer opens it
    content = by(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def path_of(url: str, sha256: str) -> Path:
    """Return the path of a blob in a folder store."""
    return Path(urlsplit(url).path) / key_of(sha256)


def removed(_content: bytes) -> None:
    """Remove the content."""


def cut(content: bytes) -> bytes:
    """Return the first half of the content."""
    return content[: len(content) // 2]


def emptied(_content: bytes) -> bytes:
    """Return no bytes: a file system can leave such a file after a power cut."""
    return b""


def grown(content: bytes) -> bytes:
    """Return the content with additional bytes."""
    return content + b"more"


def flipped(content: bytes) -> bytes:
    """Flip one bit in the middle; the length stays. Empty content stays empty."""
    if not content:
        return content
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


#: Damage that changes the length, so that the service notices it before any reuse.
CHANGED_LENGTHS = (removed, cut, emptied, grown)


def as_link(path: Path) -> None:
    """Replace the blob by a symbolic link to a foreign file with the right bytes."""
    elsewhere = path.parent.parent.parent / f"elsewhere-{path.name[:8]}"
    elsewhere.write_bytes(path.read_bytes() if path.is_file() else b"")
    path.unlink()
    path.symlink_to(elsewhere)


def as_dangling_link(path: Path) -> None:
    """Replace the blob by a dangling symbolic link."""
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def as_folder(path: Path) -> None:
    """Replace the blob by a folder that is not empty."""
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def as_pipe(path: Path) -> None:
    """Replace the blob by a named pipe without a writer."""
    path.unlink()
    os.mkfifo(path)


#: Replacements of a blob by entries that are not regular files.
NO_FILES = (as_link, as_dangling_link, as_folder, as_pipe)
