"""Read the manifest: the object, written last, that names all others of an archive.

Listings of some stores lag behind their contents, and http has none at all; the manifest is
there once the uploader has finished, and then names everything.
"""

from collections.abc import Iterable

from staging_api.errors import ArtifactNotFound, LimitExceeded, SourceFailed
from staging_api.sources.model import Source, SourceOptions
from staging_api.sources.url import is_safe_name

_MAX_BYTES = 16 << 20


def read_manifest(source: Source, options: SourceOptions) -> list[str] | None:
    """Read the names in an archive's manifest; None if it has none (yet).

    Raises:
        LimitExceeded: it is too long.
        SourceFailed: it is no list of names.
    """
    try:
        found = source.stat(options.manifest)
    except ArtifactNotFound:
        return None
    raw = bytearray()
    with source.open(found) as chunks:
        for chunk in chunks:
            raw += chunk
            if len(raw) > _MAX_BYTES:
                raise LimitExceeded(f"{options.manifest} has more than {_MAX_BYTES} bytes")
    return checked_names(_lines(raw, options.manifest), options)


def checked_names(names: Iterable[str], options: SourceOptions) -> list[str]:
    """Take a list of names, if it is not too long and each could stand in a URL.

    Raises:
        LimitExceeded: there are too many.
        SourceFailed: one of them is not safe.
    """
    checked = []
    for name in names:
        if not is_safe_name(name):
            raise SourceFailed(f"the archive names an object {name[:80]!a}, which is not safe")
        checked.append(name)
        if len(checked) > options.most_names:
            raise LimitExceeded(f"the archive has more than {options.most_names} objects")
    return checked


def _lines(raw: bytearray, manifest: str) -> list[str]:
    try:
        return [line.strip() for line in raw.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise SourceFailed(f"{manifest} is not a list of names in UTF-8") from None
