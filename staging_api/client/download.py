"""Download one staged file: resume a partial download, verify the file before it appears.

What if the process dies? While bytes arrive: the part file, whose name contains the digest of the
whole file, has them, and the next call continues after them. After the last byte, before the
rename: the next call has nothing to fetch, verifies and renames. The name `to` is always the old
file or the new one. A damaged part is detected by its digest and downloaded anew.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from staging_api.client.connections import SentRequest
from staging_api.client.file_lock import RENAMES_OPEN_FILES, try_lock
from staging_api.client.local_folder import disk_errors
from staging_api.client.pacing import Deadline, retried
from staging_api.client.problems import problem
from staging_api.client.transport import Transport
from staging_api.errors import (
    AnswerUnusable,
    ArchiveCorrupt,
    Conflict,
    NotFound,
    SourceChanged,
    Unavailable,
)

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

#: Called with the bytes received so far, and the total.
OnBytes = Callable[[int, int], None]

_OK, _PARTIAL, _ELSEWHERE, _NOT_FOUND, _OUTSIDE = 200, 206, 302, 404, 416
_CHUNK_BYTES = 1 << 20
_ETAG = re.compile(r'"([0-9a-f]{64})"')


@dataclass(frozen=True)
class DownloadTarget:
    """The file to fetch, and its local path; an empty `sha256`: the service declares the digest.

    Attributes:
        root: URL path that `path` is relative to.
        part: path of the bytes until they are verified; None: beside `to`.
    """

    path: str
    to: Path
    sha256: str
    root: str = "/static/"
    part: Path | None = None

    @property
    def url_path(self) -> str:
        """Path on the service, quoted."""
        if self.path.startswith(self.root):
            # A URL from the service is quoted already. The previous version of the service did not
            # quote it.
            return quote(self.path, safe="/@%")
        return quote(self.root + self.path.lstrip("/"), safe="/@")


def fetch(
    transport: Transport,
    target: DownloadTarget,
    deadline: Deadline,
    on_bytes: OnBytes | None = None,
) -> Path:
    """Fetch and verify a file, then move it to its path; errors: see `StagingClient.download`."""
    if not target.sha256:
        declared = retried(
            lambda: _declared_digest(transport, target, deadline), deadline, transport.pacing
        )
        target = replace(target, sha256=declared)
    with disk_errors(target.to):
        target.to.parent.mkdir(parents=True, exist_ok=True)
    # Shortened: a file name may have 255 bytes, four per character, and the whole digest is
    # verified anyway.
    beside = target.to.with_name(f".{target.to.name[:58]}.{target.sha256[:16]}.part")
    with closing(_ReceivedPart(target.part or beside, target.to)) as part:
        inherited = part.size
        _fill(transport, target, part, deadline, on_bytes)
        if part.sha256 != target.sha256 and inherited:
            part.clear()
            _fill(transport, target, part, deadline, on_bytes)
        if part.sha256 != target.sha256:
            found = part.sha256
            part.clear()
            raise ArchiveCorrupt(f"{target.path} arrived as {found}, not as {target.sha256}")
        part.appear()
    return target.to


class _ReceivedPart:
    """Part file with the bytes received so far, and their digest; for one process at a time.

    Errors of the disk are translated at each operation: an error of a callback must reach the
    caller unchanged.
    """

    def __init__(self, path: Path, to: Path) -> None:
        self._path = path
        self._to = to
        with disk_errors(to):
            # Not truncated: the file may have the bytes of an earlier attempt.
            self._file = path.open("a+b")
            if not try_lock(self._file):
                self._file.close()
                raise Conflict(f"another process is writing {path}")
            self._file.seek(0)
            # Leaves the position at the end, where `size` reads it and `append` writes.
            self._digest = hashlib.file_digest(self._file, "sha256")

    @property
    def size(self) -> int:
        return self._file.tell()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def append(self, chunk: bytes) -> None:
        with disk_errors(self._to):
            self._file.write(chunk)
        self._digest.update(chunk)

    def clear(self) -> None:
        with disk_errors(self._to):
            self._file.seek(0)
            self._file.truncate()
        self._digest = hashlib.sha256()

    def appear(self) -> None:
        with disk_errors(self._to):
            self._file.flush()
            if not RENAMES_OPEN_FILES:
                self._file.close()
            self._path.replace(self._to)

    def close(self) -> None:
        if self._file.closed:
            return
        with disk_errors(self._to):
            empty = self.size == 0
            self._file.close()
            if empty:
                self._path.unlink(missing_ok=True)


def _fill(
    transport: Transport,
    target: DownloadTarget,
    part: _ReceivedPart,
    deadline: Deadline,
    on_bytes: OnBytes | None,
) -> None:
    def attempt() -> bool:
        before = part.size
        # Positions and digest refer to the stored bytes; a proxy could compress them otherwise.
        plain = {"Accept-Encoding": "identity"}
        ranged = {**plain, "Range": f"bytes={before}-"} if before else plain
        # If the file has changed, the response has the whole file with another ETag, not the end of
        # another file.
        headers = {**ranged, "If-Range": f'"{target.sha256}"'} if before else plain
        try:
            request = SentRequest("GET", target.url_path, deadline, headers)
            with transport.sent(request) as answer:
                _check_version(answer, target.sha256)
                link = answer.headers.get("Location", "") if answer.status == _ELSEWHERE else ""
                if not link:
                    _take(answer, part, on_bytes)
            if link:
                # The link leads to this version; headers from its host describe another host.
                with transport.sent_on(link, deadline, ranged) as answer:
                    _take(answer, part, on_bytes)
        except Unavailable:
            if part.size <= before or not deadline.remaining_seconds():
                raise
            return False  # cut off, but with progress: the service is reachable
        return True

    while not retried(attempt, deadline, transport.pacing):
        pass


def _take(answer: "BaseHTTPResponse", part: _ReceivedPart, on_bytes: OnBytes | None) -> None:
    if answer.status == _OUTSIDE:
        return  # nothing left to fetch; the digest decides whether the bytes are right
    _check_part(answer, part.size)
    # The whole file: no range was sent, so the bytes of the part are discarded.
    if answer.status == _OK:
        part.clear()
    # None if it is unknown, or a proxy sent an invalid number.
    total = part.size + (answer.length_remaining or 0)
    for chunk in answer.stream(_CHUNK_BYTES, decode_content=False):
        part.append(chunk)
        if on_bytes is not None:
            on_bytes(part.size, total)


def _check_version(answer: "BaseHTTPResponse", sha256: str) -> None:
    has_digest = answer.status in {_OK, _PARTIAL, _ELSEWHERE}
    if has_digest and (served := _sha256(answer.headers)) != sha256:
        raise SourceChanged(f"there is now a file with digest {served}, not {sha256}")


def _check_part(answer: "BaseHTTPResponse", offset: int) -> None:
    if answer.status not in {_OK, _PARTIAL}:
        raise problem(answer.status, answer.headers, answer.read())
    start = f"bytes {offset}-"
    if answer.status == _PARTIAL and not answer.headers.get("Content-Range", "").startswith(start):
        raise AnswerUnusable(f"requested the bytes from {offset}, got others")


def _declared_digest(transport: Transport, target: DownloadTarget, deadline: Deadline) -> str:
    with transport.sent(SentRequest("HEAD", target.url_path, deadline, {})) as answer:
        if answer.status == _NOT_FOUND:  # a response to HEAD has no problem document
            raise NotFound(f"nothing is staged at {target.path}")
        if answer.status != _OK:
            raise problem(answer.status, answer.headers, b"")
        return _sha256(answer.headers)


def _sha256(headers: Mapping[str, str]) -> str:
    etag = _ETAG.fullmatch(headers.get("ETag", ""))
    if etag is None:
        raise AnswerUnusable("the file has no sha256 as its ETag: this is not a staged file")
    return etag[1]
