"""Fetch the many small files of one artifact as a single tar stream, each verified by its digest.

A request for each of thousands of files costs more than their bytes. The stream is only a shortcut:
files that it does not deliver, for any reason, are fetched one by one.

What if the process dies? An incomplete file is a part, as in any other download.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, cast
from urllib.parse import quote, urlencode

from staging_api.client.connections import SentRequest
from staging_api.client.local_folder import LocalFolder, disk_errors
from staging_api.client.model import StagedArtifact, StagedFile
from staging_api.client.pacing import Deadline
from staging_api.client.transport import Transport
from staging_api.errors import ArchiveUnsafe, DiskFailed, StagingApiError

#: Called with a file and its bytes.
Keep = Callable[[StagedFile, IO[bytes]], None]

_FEWEST_FILES = 16
_LARGEST_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 18
_OK = 200


def worth_streaming(
    artifact: StagedArtifact, files: Sequence[StagedFile], absent: Sequence[StagedFile]
) -> bool:
    """Return whether one stream of an artifact's files is cheaper than a request for each."""
    small = sum(file.size_bytes <= _LARGEST_BYTES for file in absent)
    absent_bytes = sum(file.size_bytes for file in absent)
    all_bytes = sum(file.size_bytes for file in files)
    # The stream repeats the files that the folder has already.
    return artifact.unpacked and small >= _FEWEST_FILES and 2 * absent_bytes >= all_bytes


def stream(
    transport: Transport,
    deadline: Deadline,
    artifact: StagedArtifact,
    wanted: Mapping[str, StagedFile],
    keep: Keep,
) -> None:
    """Fetch files of an artifact, as far as the stream delivers them.

    Args:
        transport: connections to the service.
        deadline: limits each wait for bytes.
        artifact: an unpacked artifact.
        wanted: the files to fetch, by path.
        keep: called with each file and its bytes.

    Raises:
        ArchiveUnsafe, DiskFailed: see `LocalFolder`.
    """
    query = urlencode({"archive": "tar", "artifact": artifact.id})
    path = f"/static/{quote(artifact.path)}?{query}"
    above = artifact.path[: artifact.path.rstrip("/").rfind("/") + 1]
    try:
        request = SentRequest("GET", path, deadline, {"Accept-Encoding": "identity"})
        with transport.sent(request) as answer:
            if answer.status == _OK:
                source = cast("IO[bytes]", answer)
                for file, content in _members(source, above, wanted):
                    keep(file, content)
    except (ArchiveUnsafe, DiskFailed):
        raise
    except (tarfile.TarError, StagingApiError):
        return


def write(folder: LocalFolder, file: StagedFile, content: IO[bytes]) -> bool:
    """Write a file to the folder if its bytes have the right digest; return whether they do.

    Raises:
        ArchiveUnsafe, DiskFailed: see `LocalFolder`.
    """
    place, part, digest = folder.place(file), folder.part(file), hashlib.sha256()
    with disk_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as written:
            while piece := content.read(_BUFFER_BYTES):
                digest.update(piece)
                written.write(piece)
        if digest.hexdigest() != file.sha256:
            part.unlink()
            return False
        part.replace(place)
    return True


def _members(
    source: IO[bytes], above: str, wanted: Mapping[str, StagedFile]
) -> Iterator[tuple[StagedFile, IO[bytes]]]:
    # ``r|`` reads sequentially and never seeks, which a response cannot.
    with tarfile.open(fileobj=source, mode="r|", bufsize=_BUFFER_BYTES) as packed:
        for member in packed:
            file = wanted.get(above + member.name)
            content = packed.extractfile(member) if file is not None else None
            if file is not None and content is not None:
                yield file, content
