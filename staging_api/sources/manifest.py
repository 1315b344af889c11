"""Reader of the manifest: the object, written last, that names all other objects of an archive.

The listings of some stores lag behind their contents, and http has no listings. A manifest exists
once the uploader has finished, and names all objects.
"""

import hashlib
import logging
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from staging_api.errors import (
    ArchiveUnsafe,
    ArtifactNotFound,
    LimitExceeded,
    SourceChanged,
    SourceRefused,
)
from staging_api.sources.lists import is_markup, names_in
from staging_api.sources.model import (
    Names,
    Source,
    SourceObject,
    SourceOptions,
    take,
    warnings_of,
)

log = logging.getLogger(__name__)

#: Maximum size of a manifest, or another list.
MAX_BYTES = 16 << 20
# For zlib, 31 means: a window of 15 bits, with gzip's header (16 more).
_GZIP, _GZIP_WINDOW, _PACKED_NAMES = b"\x1f\x8b", 31, (".gz", ".tgz")


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest.

    Attributes:
        version: version of the object; None unless equal versions guarantee equal content.
        sha256: digest of the object.
        names: names of all other objects.
    """

    version: str | None
    sha256: str
    names: Names


def read_manifest(
    source: Source, options: SourceOptions, kept: Manifest | None = None
) -> Manifest | None:
    """Read an archive's manifest; None if there is none (yet), or a web page is in its place.

    Args:
        source: source of the archive.
        options: the possible names of a manifest, of which the first existing one is used; and the
            limit of names.
        kept: an earlier result; the same version is not read again.

    Raises:
        ArchiveUnsafe: a name leads out of the archive.
        LimitExceeded: the manifest is too long.
        ArchiveCorrupt: the manifest is not a list of names.
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
    """Describe the manifest of an archive; None if there is none."""
    for name in options.manifests:
        try:
            return source.stat(name)
        except ArtifactNotFound:
            continue
        except SourceRefused as error:
            # Buckets respond with 403 for absent objects, too, and some sites with a page.
            log.info("%s: %s", name, error.detail)
    return None


def read_small(source: Source, found: SourceObject) -> bytes:
    """Read a small object completely; decompress gzip unless the name says that it is compressed.

    ``gsutil cp -Z`` stores lists with gzip, and some servers compress responses without a request.

    Raises:
        LimitExceeded: the object is not small.
    """
    try:
        with source.open(found) as chunks:
            raw = _joined(chunks, found)
    except SourceChanged:
        # It was replaced, or no two responses of the source agree (`staging.taken`).
        with take(source, found.name) as (now, chunks):
            raw = _joined(chunks, now)
    if not raw.startswith(_GZIP) or found.name.endswith(_PACKED_NAMES):
        return raw
    try:
        unpacked = zlib.decompressobj(_GZIP_WINDOW).decompress(raw, MAX_BYTES + 1)
    except zlib.error:
        return raw
    if len(unpacked) > MAX_BYTES:
        raise _too_long(found)
    return unpacked


def checked_names(names: Iterable[str], options: SourceOptions, *, keys: bool = False) -> Names:
    """Return the names that can be part of a URL, after checking their number.

    Args:
        names: names in their order.
        options: for the limit.
        keys: whether the names are rests of bucket keys, in which a leading slash is superfluous
            and does not mean a root.

    A name that is only unusual (an empty segment, an escaped separator, a control character, too
    long) is left out: requests for other names are not affected. A name that leads out of the
    archive makes the list hostile.

    Raises:
        ArchiveUnsafe: a name leads upwards, is absolute or has a NUL.
        LimitExceeded: there are too many names.
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


def _joined(chunks: Iterable[bytes], found: SourceObject) -> bytes:
    raw = bytearray()
    for chunk in chunks:
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise _too_long(found)
    return bytes(raw)


def _too_long(found: SourceObject) -> LimitExceeded:
    return LimitExceeded(f"{found.name} has more than {MAX_BYTES} bytes")


def _is_hostile(name: str) -> bool:
    return name.startswith("/") or ".." in name.replace("\\", "/").split("/") or "\0" in name
