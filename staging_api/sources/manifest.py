"""Read the manifest: the object, written last, that names all others of an archive.

Listings of some stores lag behind their contents, and http has none at all. A manifest exists once
the uploader has finished, and names everything.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, ArtifactNotFound, LimitExceeded
from staging_api.sources.model import Source, SourceOptions
from staging_api.sources.url import is_safe_name

_MAX_BYTES = 16 << 20


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
    names: Sequence[str]


def read_manifest(
    source: Source, options: SourceOptions, kept: Manifest | None = None
) -> Manifest | None:
    """Read an archive's manifest; None if it has none (yet).

    Args:
        source: of the archive.
        options: the manifest's name, and the limit of names.
        kept: an earlier result; the same version is not read again.

    Raises:
        ArchiveUnsafe: a name must not stand in a URL or a path.
        LimitExceeded: it is too long.
        ArchiveCorrupt: it is not a list of names.
    """
    try:
        found = source.stat(options.manifest)
    except ArtifactNotFound:
        return None
    version = found.version if found.strong else None
    if kept is not None and version is not None and kept.version == version:
        return kept
    raw = bytearray()
    with source.open(found) as chunks:
        for chunk in chunks:
            raw += chunk
            if len(raw) > _MAX_BYTES:
                raise LimitExceeded(f"{options.manifest} has more than {_MAX_BYTES} bytes")
    names = checked_names(_lines(raw, options.manifest), options)
    return Manifest(version, hashlib.sha256(raw).hexdigest(), names)


def checked_names(names: Iterable[str], options: SourceOptions) -> list[str]:
    """Return the names if they are not too many and each could stand in a URL.

    Raises:
        ArchiveUnsafe: one of them is not safe.
        LimitExceeded: there are too many.
    """
    checked = []
    for name in names:
        if not is_safe_name(name):
            raise ArchiveUnsafe(f"the archive names an object {name[:80]!a}, which is not safe")
        checked.append(name)
        if len(checked) > options.most_names:
            raise LimitExceeded(f"the archive has more than {options.most_names} objects")
    return checked


def _lines(raw: bytearray, manifest: str) -> list[str]:
    try:
        return [line.strip() for line in raw.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise ArchiveCorrupt(f"{manifest} is not a list of names in UTF-8") from None
