"""``/static/FOLDER/?archive=tar.zst``: all files of a folder as one stream."""

import errno
import hashlib
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import BinaryIO

import falcon

from staging_api import metrics
from staging_api.errors import Invalid, NotFound, StagingApiError
from staging_api.formats.packing import PACKERS, PackedFile
from staging_api.http.conditions import not_modified
from staging_api.http.handover import Sender
from staging_api.staging.files import StagedFiles
from staging_api.staging.model import ServedFile
from staging_api.store.places import open_at

log = logging.getLogger(__name__)

_PARAMETER = "archive"
_MEDIA = {"tar": "application/x-tar", "zip": "application/zip"}


def is_asked_for(req: falcon.Request) -> bool:
    """Return whether the caller requests the folder as one stream."""
    return req.has_param(_PARAMETER)


def send_folder(
    req: falcon.Request, resp: falcon.Response, files: StagedFiles, sender: Sender, folder: str
) -> None:
    """Send all files of a folder, with the folder's own name above their paths.

    The connection is cut off if a file can no longer be read.

    Raises:
        Invalid: the format is unknown, or an HTTP/1.0 client could not distinguish the end from a
            broken connection.
        NotFound: nothing is staged in the folder.
        LimitExceeded: there are too many files.
    """
    form = req.get_param(_PARAMETER, default="")
    if form not in PACKERS:
        raise Invalid.field(_PARAMETER, f"must be one of {', '.join(PACKERS)}")
    if req.env.get("SERVER_PROTOCOL") == "HTTP/1.0":
        raise Invalid.field(_PARAMETER, "needs HTTP/1.1: the length of the stream is not known")
    found = files.below(folder)
    if (artifact_id := req.get_param("artifact")) is not None:
        found = [file for file in found if file.artifact_id == artifact_id]
        if not found:
            raise NotFound(f"artifact {artifact_id} has no files in {folder}")
    # Weak: a digest of the list of files, not of the bytes that are sent.
    resp.set_header("Cache-Control", "no-cache")
    if not_modified(req, resp, f'W/"{_digest(form, found)}"'):
        return
    resp.content_type = _MEDIA.get(form, "application/octet-stream")
    resp.downloadable_as = f"{folder.rstrip('/').rpartition('/')[2]}.{form}"
    if req.method != "HEAD":
        pieces = PACKERS[form](_packed(files, sender, folder, found))
        # Before the status is sent, so that an unreachable store gives an error and not a broken
        # stream.
        resp.stream = _sent(chain([next(pieces)], pieces))


def _packed(
    files: StagedFiles, sender: Sender, folder: str, found: Sequence[ServedFile]
) -> Iterator[PackedFile]:
    above = folder[: folder.rstrip("/").rfind("/") + 1]

    handed_out: set[str] = set()

    def opened(file: ServedFile) -> BinaryIO:
        # Often enough: an artifact is protected for minutes, and most folders have few artifacts.
        if file.artifact_id not in handed_out:
            files.hand_out(file)
            handed_out.add(file.artifact_id)
        place = file.place
        with sender.noticed(place.sha256, place.blob_bytes):
            return open_at(sender.blobs, place)

    for file in found:
        yield PackedFile(
            file.path.removeprefix(above),
            file.size_bytes,
            file.staged_at,
            file.executable,
            partial(opened, file),
        )


def _sent(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the body; a failure after the status was sent can only end the connection."""
    try:
        for piece in pieces:
            metrics.SERVED_BYTES.inc(len(piece))
            yield piece
    except StagingApiError as error:
        log.warning("a reader of a folder was cut off: %s", error.detail)
        # Not a regular end: a client would take a regularly ended stream for the whole folder.
        raise ConnectionResetError(errno.ECONNRESET, error.detail) from None


def _digest(form: str, files: Sequence[ServedFile]) -> str:
    digest = hashlib.sha256(form.encode())
    for file in files:
        digest.update(f"{file.sha256} {file.staged_at.isoformat()} {file.path}\n".encode())
    return digest.hexdigest()
