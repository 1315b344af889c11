"""Translation of a bucket's failures to errors that name the object, the fault and the remedy.

`staging_api.bucket_answers` interprets the text of a failure.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from staging_api.bucket_answers import FailureCause, bucket_failure
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
_REFUSED, _ABSENT = ("401", "403"), "404"
#: Status of S3 for HEAD requests, whose responses have no body and so no code.
_STATUS_WITHOUT_CODE = "400"
_CURES = {
    "InvalidObjectState": "it is archived, and has to be restored first",
    "RequestTimeTooSkewed": "the clock of this machine differs from the bucket's",
    "InvalidAccessKeyId": "the bucket does not know the access key",
    "SignatureDoesNotMatch": "the secret does not belong to the access key",
}
_RIGHTS = "check the credential, and that its policy allows to list and to read the prefix"
_RIGHTS_TO_READ = (
    "check that it exists (a bucket without permission to list also refuses absent objects),"
    " and that the credential's policy permits reading it"
)


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
    failure = bucket_failure(str(error), type(error).__name__)
    said, is_list = failure.said, name == LISTING
    if failure.cause in _KNOWN:
        return _KNOWN[failure.cause](where, name, said)
    if failure.cause == FailureCause.ABSENT_BUCKET or (failure.status == _ABSENT and is_list):
        return ArchiveNotFound(f"{where} is not there: {said}")
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if failure.status in _REFUSED or refused or failure.cause == FailureCause.DENIED:
        cure = _CURES.get(failure.code, _RIGHTS if is_list else _RIGHTS_TO_READ)
        answered = f": {said}" if failure.status else ""
        return SourceRefused(f"{where} refused access to {name}{answered}; {cure}")
    if failure.status == _STATUS_WITHOUT_CODE and not failure.code and where.startswith("s3:"):
        said += ", which may mean another region, or a credential that has expired"
    return SourceFailed(f"{where} did not deliver {name}: {said}")


def _of_no_proof(where: str, _name: str, said: str) -> StagingApiError:
    return SourceRefused(
        f"{where} {said.removeprefix('it ')}; STAGING_SOURCES_CA_FILE names whose certificates are"
        " believed"
    )


_KNOWN: Mapping[FailureCause, Callable[[str, str, str], StagingApiError]] = {
    FailureCause.OTHER_REGION: lambda where, name, _said: SourceFailed(
        f"{where} did not deliver {name}: the bucket is in another region than"
        " STAGING_SOURCES_S3_REGION or AWS_REGION says",
        retryable=False,
    ),
    FailureCause.EXPIRED: lambda where, name, _said: SourceFailed(
        f"{where} did not deliver {name}: the credential has expired"
    ),
    FailureCause.NO_CREDENTIAL: lambda where, name, said: SourceFailed(
        f"{where} did not deliver {name}: {said}; a public bucket has to be in"
        " STAGING_SOURCES_ANONYMOUS"
    ),
    FailureCause.NO_PROOF: _of_no_proof,
    FailureCause.NO_TLS: lambda where, _name, said: SourceRefused(
        f"{where} {said.removeprefix('it ')}"
    ),
    FailureCause.NO_RANGES: lambda where, name, said: SourceFailed(
        f"{where} did not deliver {name}: {said}", retryable=False
    ),
}
