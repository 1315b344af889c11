"""Damage to a store behind the service's back: contents cut, flipped, removed, made odd."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import obstore

from staging_api.store.blobs import key_of
from staging_api.store.bucket import Bucket


def change(url: str, sha256: str, by: Callable[[bytes], bytes | None]) -> None:
    """Replace the bytes of a blob, whatever its name says; None removes it."""
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
        raise FileNotFoundError(path)  # to open a pipe would wait for who writes to it
    content = by(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def path_of(url: str, sha256: str) -> Path:
    """The file of a blob in a folder."""
    return Path(urlsplit(url).path) / key_of(sha256)


def removed(_content: bytes) -> None:
    """Nothing is left."""


def cut(content: bytes) -> bytes:
    """The front half."""
    return content[: len(content) // 2]


def emptied(_content: bytes) -> bytes:
    """A file without bytes, as a file system leaves it after a power cut."""
    return b""


def grown(content: bytes) -> bytes:
    """More than there should be."""
    return content + b"more"


def flipped(content: bytes) -> bytes:
    """The same length, with one bit in the middle changed; of nothing, none can be."""
    if not content:
        return content
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


#: What changes a length, so that it is noticed before any reuse.
CHANGED_LENGTHS = (removed, cut, emptied, grown)


def as_link(path: Path) -> None:
    """A link to a file with the right bytes, which is not ours."""
    elsewhere = path.parent.parent.parent / f"elsewhere-{path.name[:8]}"
    elsewhere.write_bytes(path.read_bytes() if path.is_file() else b"")
    path.unlink()
    path.symlink_to(elsewhere)


def as_dangling_link(path: Path) -> None:
    """A link to nothing."""
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def as_folder(path: Path) -> None:
    """A folder that is not empty."""
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def as_pipe(path: Path) -> None:
    """A pipe without a writer."""
    path.unlink()
    os.mkfifo(path)


#: Entries that are no regular file, at the name of a blob.
NO_FILES = (as_link, as_dangling_link, as_folder, as_pipe)
