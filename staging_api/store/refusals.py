"""Translation of a bucket's refusals to errors of a store, each with a remedy.

`staging_api.bucket_answers` interprets the text of a failure.
"""

from collections.abc import Callable, Mapping
from functools import partial

from staging_api.bucket_answers import FailureCause, bucket_failure
from staging_api.errors import (
    NoSpace,
    StagingApiError,
    StoreClockSkew,
    StoreCredentialExpired,
    StoreDenied,
    StoreFailed,
    StoreReadOnly,
    StoreThrottled,
)

_Make = Callable[[], StagingApiError]
_denied: _Make = partial(
    StoreDenied,
    "the bucket denies access: check the credential, and that its policy allows to list, read,"
    " write and delete objects below the prefix",
)
_skewed: _Make = partial(
    StoreClockSkew,
    "the bucket refuses our signatures because the clocks differ: synchronise this machine's clock",
)
_expired: _Make = partial(
    StoreCredentialExpired,
    "the credential of the bucket has expired: the platform's chain should renew it soon",
    retry_after_seconds=30,
)
_throttled: _Make = partial(
    StoreThrottled,
    "the bucket asks for fewer requests: come back later, or raise its limits",
    retry_after_seconds=10,
)
_read_only: _Make = partial(
    StoreReadOnly, "the bucket cannot be written now: end its read-only mode"
)
_full: _Make = partial(
    NoSpace,
    "the bucket of STAGING_STORE is full: raise its quota, or remove objects from it; a bucket does"
    " not tell how many bytes are free",
)
_absent: _Make = partial(
    StoreFailed, "the bucket of the store is not there: check the name in STAGING_STORE"
)
_elsewhere: _Make = partial(
    StoreFailed,
    "the bucket of the store is in another region than STAGING_STORE or AWS_REGION says",
)
_BY_CAUSE: Mapping[FailureCause, _Make] = {
    FailureCause.DENIED: _denied,
    FailureCause.SKEWED: _skewed,
    FailureCause.EXPIRED: _expired,
    FailureCause.THROTTLED: _throttled,
    FailureCause.READ_ONLY: _read_only,
    FailureCause.FULL: _full,
    FailureCause.ABSENT_BUCKET: _absent,
    FailureCause.OTHER_REGION: _elsewhere,
}


def refusal(text: str, kind: str = "") -> StagingApiError:
    """Return the error for a failure of a bucket.

    Args:
        text: text of the failure, with the status and, if there is one, the body of the response.
        kind: the library's name of the failure, used if there is no other.
    """
    failure = bucket_failure(text, kind)
    if failure.cause in _BY_CAUSE:
        return _BY_CAUSE[failure.cause]()
    return StoreFailed(f"the object store failed: {failure.said}", retry_after_seconds=10)
