"""What the failures of a bucket mean: which object, what was wrong, what would be right.

The library knows few classes of them, and has one for all that a listing meets. So the status and
the code of the answer are looked for in its text. Only known words are repeated: the text holds
addresses, and signatures in them.
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

#: How a listing is called where an object is named.
LISTING = "its listing"
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_REFUSED, _ABSENT = ("401", "403"), ("404",)
_ABSENT_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_OTHER_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint")
#: The library's own words for a redirect of S3, which has no Location.
_REGION_WORDS = "incorrectly configured region"
_CURES = {
    "InvalidObjectState": "it is archived, and has to be restored first",
    "RequestTimeTooSkewed": "the clock of this machine differs from the bucket's",
    "InvalidAccessKeyId": "the bucket does not know the access key",
    "SignatureDoesNotMatch": "the secret does not belong to the access key",
}
_RIGHTS = "check the credential, and that its policy allows to list and to read the prefix"
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
    text, kind = str(error), type(error).__name__
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
        cure = _CURES.get(code, _RIGHTS)
        return SourceRefused(f"{where} refused access to {name}: {answered}; {cure}")
    return SourceFailed(f"{where} did not deliver {name}: {answered if status else kind}")
