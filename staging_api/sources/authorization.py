"""Authorization headers by origin, from a file that is read again when it changes.

Tokens can be rotated without restarting the service. While the file is missing or wrong, the last
valid content stays in force, and an error is logged.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from staging_api.errors import Invalid
from staging_api.small_files import file_version, read_file_of
from staging_api.sources.model import SourceOptions
from staging_api.sources.url import ArchiveUrl, parse_prefix

log = logging.getLogger(__name__)

_SETTING = "STAGING_SOURCES_AUTHORIZATION_FILE"
_TRY_AGAIN_SECONDS = 1.0


class AuthorizationFile(Mapping[str, str]):
    """The current headers in the file; its repr never shows them."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file.

        Raises:
            Invalid: the file cannot be read, or a line is wrong.
        """
        self._path, self._clock = path, clock
        self._seen = self._tried = file_version(path)
        self._is_wrong = False
        self._try_again_at = float("-inf")
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
        version, now = file_version(self._path), self._clock()
        is_known = self._is_wrong and version == self._tried
        # An unreadable file may become readable without any change of its status.
        if version == self._seen or (is_known and now < self._try_again_at):
            return self._headers
        self._tried, self._try_again_at = version, now + _TRY_AGAIN_SECONDS
        try:
            self._headers = read_headers(self._path)
        except Invalid as error:
            if not is_known:
                log.error("the previous credentials of sources stay in force: %s", error.detail)  # noqa: TRY400
            self._is_wrong = True
        else:
            self._seen, self._is_wrong = version, False
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
