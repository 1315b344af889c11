"""Translation of a bucket's failures to errors that name the object, the fault and the remedy.

The library has few error classes, and only one for all failures of a listing. Therefore the status
and the code of the response are extracted from its text. Only known words are repeated: the text
contains addresses, and signatures in them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from staging_api.errors import (
    ArchiveNotFound,
    ArtifactNotFound,
    SourceChanged,
    SourceFailed,
    SourceRefused,
    StagingApiError,
)
from staging_api.sources.url import ArchiveUrl

#: Name of a listing in error messages, in place of an object's name.
LISTING = "its listing"
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_REFUSED, _ABSENT = ("401", "403"), ("404",)
#: Status of S3 for HEAD requests, whose responses have no body and so no code.
_STATUS_WITHOUT_CODE = "400"
_ABSENT_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_OTHER_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint")
#: The library's own message for a redirect of S3, which has no Location.
_REGION_WORDS = "incorrectly configured region"
_CURES = {
    "InvalidObjectState": "it is archived, and has to be restored first",
    "RequestTimeTooSkewed": "the clock of this machine differs from the bucket's",
    "InvalidAccessKeyId": "the bucket does not know the access key",
    "SignatureDoesNotMatch": "the secret does not belong to the access key",
}
_RIGHTS = "check the credential, and that its policy allows to list and to read the prefix"
_RIGHTS_TO_READ = (
    "check that it is there (a bucket that may not be listed refuses what it does not have, too),"
    " and that the credential's policy allows to read it"
)
#: Metadata services of platforms, which issue credentials.
_METADATA = ("//169.254.169.254", "//169.254.170.2", "//metadata.google.internal")
_CERTIFICATE_ERROR = re.compile(r"InvalidCertificate\(\s*(\w{1,60})")
#: Messages of the underlying libraries for requests without a response.
_NO_ANSWER = {
    "dns error": "its address has a host of no known name",
    "Connection refused": "it could not be connected to",
    "TimedOut": "it did not answer in time",
}
_NO_TLS, _NO_RANGES = "InvalidContentType", "NotPartial"
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")


@contextmanager
def bucket_failures(url: ArchiveUrl, name: str) -> Iterator[None]:
    """Translate the library's errors; `name` is the object or `LISTING`."""
    try:
        yield
    except FileNotFoundError:
        raise ArtifactNotFound(f"{name} is not in the archive") from None
    except PreconditionError:
        raise SourceChanged(f"{name} changed since it was found") from None
    except BaseError as error:
        raise _meaning(f"{url.scheme}://{url.authority}", name, error) from None


def _meaning(where: str, name: str, error: BaseError) -> StagingApiError:
    text = str(error)
    is_answer = _STATUS.search(text) is not None or _REGION_WORDS in text
    if not is_answer or _is_of_platform(text):
        return _without_response(where, name, error)
    found = _CODE.search(text), _STATUS.search(text)
    code, status = (each[1] if each else "" for each in found)
    answered = f"it answered {' '.join(filter(None, (status, code)))}"
    if code in _OTHER_REGION or _REGION_WORDS in text:
        return SourceFailed(
            f"{where} did not deliver {name}: the bucket is in another region than"
            " STAGING_SOURCES_S3_REGION or AWS_REGION says",
            retryable=False,
        )
    if code in _EXPIRED:
        return SourceFailed(f"{where} did not deliver {name}: the credential has expired")
    if code in _ABSENT_BUCKET or (status in _ABSENT and name == LISTING):
        return ArchiveNotFound(f"{where} is not there: {answered}")
    if status in _REFUSED or isinstance(error, PermissionDeniedError | UnauthenticatedError):
        cure = _CURES.get(code, _rights_to(name))
        return SourceRefused(f"{where} refused access to {name}: {answered}; {cure}")
    if status == _STATUS_WITHOUT_CODE and not code and where.startswith("s3:"):
        answered += ", which may mean another region, or a credential that has expired"
    return SourceFailed(f"{where} did not deliver {name}: {answered}")


def _without_response(where: str, name: str, error: BaseError) -> StagingApiError:
    """Return the error for a request without a usable response."""
    text = str(error)
    if _is_of_platform(text):
        return SourceFailed(
            f"{where} did not deliver {name}: no credential is set, and this machine's platform"
            " gave none; a public bucket has to be in STAGING_SOURCES_ANONYMOUS"
        )
    if proof := _CERTIFICATE_ERROR.search(text):
        return SourceRefused(
            f"{where} did not prove its name by a certificate: {proof[1]}; STAGING_SOURCES_CA_FILE"
            " names whose certificates are believed"
        )
    if _NO_TLS in text:
        return SourceRefused(f"{where} did not answer in TLS: its address may be one of http://")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return SourceRefused(f"{where} refused access to {name}; {_rights_to(name)}")
    if _NO_RANGES in text:
        why = "it has no ranges, as a bucket must"
        return SourceFailed(f"{where} did not deliver {name}: {why}", retryable=False)
    reasons = (reason for word, reason in _NO_ANSWER.items() if word in text)
    why = next(reasons, type(error).__name__)
    return SourceFailed(f"{where} did not deliver {name}: {why}")


def _rights_to(name: str) -> str:
    return _RIGHTS if name == LISTING else _RIGHTS_TO_READ


def _is_of_platform(text: str) -> bool:
    """Return whether the failure came from the service that issues credentials."""
    return any(place in text for place in _METADATA)
