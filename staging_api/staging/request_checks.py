"""A cache of checked requests: many clients send the same request again and again.

Whether a request is valid depends on the settings and catalogues of the process, which do not
change while it lives. Refused requests are checked again; so are URLs with a credential, which are
never kept.
"""

from collections.abc import Callable, Sequence

from staging_api.bounded_cache import BoundedCache
from staging_api.staging.model import StagingRequest

_MOST, _MOST_BYTES = 4096, 8 << 20
# Approximate memory of the objects of a request, and of each of its artifacts.
_BYTES, _BYTES_OF_ARTIFACT = 1000, 500
_Key = tuple[str, tuple[str, ...], float | None]
_Check = Callable[[str, Sequence[str], float | None], StagingRequest]


class RequestChecks:
    """Remembers the results of checks."""

    def __init__(self, check: _Check) -> None:
        """Call `check` for requests that are not in the cache."""
        self._check = check
        self._valid: BoundedCache[_Key, StagingRequest] = BoundedCache(_MOST, _MOST_BYTES)

    def checked(
        self, archive_url: str, artifacts: Sequence[str], upload_wait_seconds: float | None
    ) -> StagingRequest:
        """Return the checked request; raises the errors of the check."""
        key = archive_url, tuple(artifacts), upload_wait_seconds
        known = self._valid.get(key)
        if known is not None:
            return known
        request = self._check(archive_url, artifacts, upload_wait_seconds)
        if not request.url.has_credential:
            size = _BYTES + 2 * len(archive_url) + _BYTES_OF_ARTIFACT * len(request.kinds)
            self._valid.put(key, request, size + sum(map(len, artifacts)))
        return request
