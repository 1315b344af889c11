"""Errors for the status codes of http responses without an object."""

from staging_api.errors import ArtifactNotFound, SourceChanged, SourceFailed, SourceRefused
from staging_api.sources.authorization import credential_hint
from staging_api.sources.headers import retry_after_seconds
from staging_api.sources.http_answers import OK, PARTIAL
from staging_api.sources.http_client import SourceResponse
from staging_api.sources.model import SourceOptions
from staging_api.sources.proxy_failures import PROXY_CREDENTIAL
from staging_api.sources.retrying import Interrupted
from staging_api.sources.url import ArchiveUrl

ABSENT = (404, 410)
TRANSIENT = (408, 425, 429)
_CHANGED = (412, 416)
_REFUSED, _PROXY_REFUSED = (401, 403), 407
#: Other client errors, which some servers use for missing objects; and "not implemented".
_NOT_SERVED = {*range(400, 500), 501}.difference(TRANSIENT)
_SERVER_FAILED = 500
#: Headers by which bucket services number their responses.
_BUCKET_HEADERS = ("x-amz-request-id", "x-guploader-uploadid", "x-ms-request-id")


def check_status(
    answer: SourceResponse,
    name: str,
    url: ArchiveUrl,
    options: SourceOptions,
    *,
    is_found: bool = False,
) -> None:
    """Raise the error for a response without an object.

    Args:
        answer: the response to a request for an object.
        name: name of the object.
        url: the archive.
        options: for the hint about credentials.
        is_found: whether the object was described before.

    Raises:
        ArtifactNotFound: there is no such object.
        SourceChanged: an object that was described before is not the same any more.
        SourceRefused: the server, or a proxy, denies access.
        Interrupted: the server may answer later.
        SourceFailed: the status has no meaning for a GET or HEAD.
    """
    host, status = url.authority, answer.status
    if status in (OK, PARTIAL):
        return
    if status in ABSENT:
        raise ArtifactNotFound(f"{name} is not in the archive")
    if status in _CHANGED and is_found:
        raise SourceChanged(f"{name} changed since it was found")
    if status == _PROXY_REFUSED:
        raise SourceRefused(f"{name} was refused with status {status}: {PROXY_CREDENTIAL}")
    if status in _REFUSED:
        cure = _cure(answer, url, options)
        raise SourceRefused(f"{host} refused access to {name} with status {status}; {cure}")
    if status in _NOT_SERVED:
        raise SourceRefused(f"{host} does not serve {name}: it answered with status {status}")
    if status in TRANSIENT or status >= _SERVER_FAILED:
        raise Interrupted(
            f"{host} answered with status {status}",
            retry_after_seconds=retry_after_seconds(answer.headers),
        )
    raise SourceFailed(f"{host} answered with status {status}", retryable=False)


def _cure(answer: SourceResponse, url: ArchiveUrl, options: SourceOptions) -> str:
    """Return a hint for a refused access."""
    cure = credential_hint(url, answer.target.origin, options)
    of_bucket = any(header in answer.headers for header in _BUCKET_HEADERS)
    absent = (
        "; or it does not exist: a bucket without permission to list also refuses absent objects"
    )
    return cure + absent if of_bucket else cure
