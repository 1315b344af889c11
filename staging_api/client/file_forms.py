"""Send files as one ``multipart/form-data`` body, with one chunk in memory at a time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from staging_api.client.local_folder import disk_errors
from staging_api.errors import Invalid

_CHUNK_BYTES = 64 << 10


class FileForm:
    """A form with files; each iteration reads the files again, so that it can be sent again."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Read the files' sizes.

        Args:
            files: paths, in the order of the form; each file is sent under its name, without its
                folder.

        Raises:
            DiskFailed: a file does not exist.
        """
        self._boundary = uuid4().hex
        self._files = [(path, _size(path), self._head(path)) for path in files]
        self._end = f"--{self._boundary}--\r\n".encode()

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers that describe the form."""
        length = sum(len(head) + size + len(b"\r\n") for _, size, head in self._files)
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(length + len(self._end)),
        }

    def __iter__(self) -> Iterator[bytes]:
        for path, size, head in self._files:
            yield head
            yield from _read(path, size)
            yield b"\r\n"
        yield self._end

    def _head(self, path: Path) -> bytes:
        from urllib3.fields import RequestField

        field = RequestField.from_tuples("file", (path.name, b""))
        return f"--{self._boundary}\r\n{field.render_headers()}".encode()


def _size(path: Path) -> int:
    with disk_errors(path):
        return path.stat().st_size


def _read(path: Path, size: int) -> Iterator[bytes]:
    """Yield the bytes of a file, exactly as many as the form declared.

    An OSError would look like a fault of the connection, and the form would be sent again.
    """
    with disk_errors(path):
        file = path.open("rb")
    with file:
        while size:
            with disk_errors(path):
                chunk = file.read(min(size, _CHUNK_BYTES))
            if not chunk:
                raise Invalid.field("files", f"{path} became shorter while it was sent")
            size -= len(chunk)
            yield chunk
