"""Read the manifest: the object, written last, that names all others of an archive.

Listings of some stores lag behind their contents, and http has none at all. A manifest exists once
the uploader has finished, and names everything.
"""

import hashlib
import logging
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from staging_api.errors import ArchiveUnsafe, ArtifactNotFound, LimitExceeded, SourceRefused
from staging_api.sources.lists import is_markup, names_in
from staging_api.sources.model import Names, Source, SourceObject, SourceOptions, warnings_of

log = logging.getLogger(__name__)

#: The most that a manifest, or another list, may have.
MAX_BYTES = 16 << 20
# 31 is zlib's way to say: a window of 15 bits, with the header of gzip (16 more).
_GZIP, _GZIP_WINDOW, _PACKED_NAMES = b"\x1f\x8b", 31, (".gz", ".tgz")


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest.

    Attributes:
        version: of the object; None unless the same version is the same content for certain.
        sha256: of the object.
        names: of all other objects.
    """

    version: str | None
    sha256: str
    names: Names


def read_manifest(
    source: Source, options: SourceOptions, kept: Manifest | None = None
) -> Manifest | None:
    """Read an archive's manifest; None if it has none (yet), or a web page is in its place.

    Args:
        source: of the archive.
        options: the names that a manifest may have, of which the first that is there counts; and
            the limit of names.
        kept: an earlier result; the same version is not read again.

    Raises:
        ArchiveUnsafe: a name would lead out of the archive.
        LimitExceeded: it is too long.
        ArchiveCorrupt: it is not a list of names.
    """
    found = find_manifest(source, options)
    if found is None:
        return None
    version = found.version if found.strong else None
    if kept is not None and version is not None and kept.version == version:
        return kept
    raw = read_small(source, found)
    if is_markup(raw):
        return None
    names = checked_names(names_in(raw, found.name), options)
    return Manifest(version, hashlib.sha256(raw).hexdigest(), names)


def find_manifest(source: Source, options: SourceOptions) -> SourceObject | None:
    """Describe the manifest of an archive; None if none is there."""
    for name in options.manifests:
        try:
            return source.stat(name)
        except ArtifactNotFound:
            continue
        except SourceRefused as error:
            # Buckets say 403 of absent objects too, and some sites show a page.
            log.info("%s: %s", name, error.detail)
    return None


def read_small(source: Source, found: SourceObject) -> bytes:
    """Read a small object whole; unpacked, if it is kept with gzip under a name that is not packed.

    ``gsutil cp -Z`` keeps lists so, and some servers pack answers without a request to.

    Raises:
        LimitExceeded: it is not small.
    """
    raw = bytearray()
    with source.open(found) as chunks:
        for chunk in chunks:
            raw += chunk
            if len(raw) > MAX_BYTES:
                raise _too_long(found)
    if not raw.startswith(_GZIP) or found.name.endswith(_PACKED_NAMES):
        return bytes(raw)
    try:
        unpacked = zlib.decompressobj(_GZIP_WINDOW).decompress(raw, MAX_BYTES + 1)
    except zlib.error:
        return bytes(raw)
    if len(unpacked) > MAX_BYTES:
        raise _too_long(found)
    return unpacked


def checked_names(names: Iterable[str], options: SourceOptions, *, keys: bool = False) -> Names:
    """Return the names that could stand in a URL, if they are not too many.

    Args:
        names: in their order.
        options: for the limit.
        keys: whether they are what is left of keys of a bucket, in which a slash in front is one
            too many, and no root.

    A name that is merely odd (an empty segment, an escaped separator, a control character, too
    long) is left out: requests for other names are not affected. One that leads out of the
    archive makes the list hostile.

    Raises:
        ArchiveUnsafe: one of them leads upwards, is absolute or has a NUL.
        LimitExceeded: there are too many.
    """
    checked: list[str] = []
    for name in names:
        if _is_hostile(name.lstrip("/") if keys else name):
            raise ArchiveUnsafe(f"the archive names an object {name[:80]!a}, which is not safe")
        checked.append(name)
        if len(checked) > options.most_names:
            raise LimitExceeded(f"the archive has more than {options.most_names} objects")
    found = Names.parted(checked)
    for warning in warnings_of(found):
        log.warning("%s", warning)
    return found


def _too_long(found: SourceObject) -> LimitExceeded:
    return LimitExceeded(f"{found.name} has more than {MAX_BYTES} bytes")


def _is_hostile(name: str) -> bool:
    return name.startswith("/") or ".." in name.replace("\\", "/").split("/") or "\0" in name
