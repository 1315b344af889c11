"""Authorization headers by origin, from a file that is read again when it changes.

Tokens can be rotated without restarting the service. While the file is missing or wrong, the last
valid content stays in force, and an error is logged.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from staging_api.errors import Invalid
from staging_api.small_files import read_file_of
from staging_api.sources.model import SourceOptions
from staging_api.sources.url import ArchiveUrl, parse_prefix

log = logging.getLogger(__name__)

_SETTING = "STAGING_SOURCES_AUTHORIZATION_FILE"


class AuthorizationFile(Mapping[str, str]):
    """The current headers in the file; its repr never shows them."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            Invalid: the file cannot be read, or a line is wrong.
        """
        self._path = path
        self._seen = _version(path)
        self._headers = read_headers(path)

    def __getitem__(self, origin: str) -> str:
        """Return the header for ``https://host:port``."""
        return self._current()[origin]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the origins."""
        return iter(self._current())

    def __len__(self) -> int:
        """Return the number of origins."""
        return len(self._current())

    def _current(self) -> Mapping[str, str]:
        version = _version(self._path)
        if version != self._seen:
            self._seen = version
            try:
                self._headers = read_headers(self._path)
            except Invalid as error:
                log.error("the previous credentials of sources stay in force: %s", error.detail)  # noqa: TRY400
        return self._headers


def read_headers(path: Path) -> Mapping[str, str]:
    """Parse lines of an origin and its Authorization header; errors show neither.

    Raises:
        Invalid: the file cannot be read, or a line is wrong; names the line.
    """
    found = {}
    for number, line in enumerate(read_file_of(_SETTING, path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        origin, _, value = line.strip().partition(" ")
        url = parse_prefix(origin, f"{_SETTING}: line {number}")
        value = value.strip()
        sendable = value and value.isascii() and value.isprintable()
        if url.scheme not in ("http", "https") or url.segments or not sendable:
            shape = "https://host:port, a space, and the header in ASCII, such as: Bearer abc"
            raise Invalid.field(_SETTING, f"line {number} must be {shape}")
        found[f"{url.scheme}://{url.authority}"] = value
    return found


def credential_hint(url: ArchiveUrl, origin: str, options: SourceOptions) -> str:
    """Return what may help where an origin refuses access to an archive."""
    if url.has_credential:
        return "the credential of the archive_url may have expired: send the request with a new one"
    if origin in options.authorization:
        return f"the entry of {_SETTING} for {origin} may have expired, or lacks the permission"
    return (
        f"it needs a credential: by {_SETTING}, or in the archive_url, which is not kept, so of"
        " each request"
    )


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes with the file; None while the file cannot be accessed."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino, facts.st_size
