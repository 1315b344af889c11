"""Translation of a bucket's refusals to errors with a remedy, by the code in the response.

Services have several codes for the same refusal, and some only a status. Only known words of a
response are repeated: its text contains addresses, and signatures in them.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

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

_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")

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
_full: _Make = partial(NoSpace, "the bucket is full: raise its quota, or remove objects from it")
_absent: _Make = partial(
    StoreFailed, "the bucket of the store is not there: check the name in STAGING_STORE"
)

_BY_CODE: Mapping[str, _Make] = {
    "AccessDenied": _denied,
    "AllAccessDisabled": _denied,
    "AccountIsDisabled": _denied,
    "AccountProblem": _denied,
    "InvalidAccessKeyId": _denied,
    "SignatureDoesNotMatch": _denied,
    "InvalidToken": _denied,
    "AuthenticationFailed": _denied,
    "AuthenticationRequired": _denied,
    "AuthorizationFailure": _denied,
    "AuthorizationPermissionMismatch": _denied,
    "AuthorizationSourceIPMismatch": _denied,
    "InsufficientAccountPermissions": _denied,
    "InvalidAuthenticationInfo": _denied,
    "NoAuthenticationInformation": _denied,
    "PublicAccessNotPermitted": _denied,
    "UserProjectAccountProblem": _denied,
    "RequestTimeTooSkewed": _skewed,
    "RequestExpired": _skewed,
    "ExpiredToken": _expired,
    "ExpiredTokenException": _expired,
    "TokenRefreshRequired": _expired,
    "SlowDown": _throttled,
    "Throttling": _throttled,
    "ThrottlingException": _throttled,
    "TooManyRequests": _throttled,
    "RequestLimitExceeded": _throttled,
    "RateLimitExceeded": _throttled,
    "ServerBusy": _throttled,
    "BandwidthLimitExceeded": _throttled,
    "QuotaExceeded": _full,
    "EntityTooLarge": _full,
    "XMinioStorageFull": _full,
    "InsufficientCapacity": _full,
    "MethodNotAllowed": _read_only,
    "XMinioReadOnly": _read_only,
    "BlobImmutableDueToPolicy": _read_only,
    "ObjectUnderActiveHold": _read_only,
    "RetentionPolicyNotMet": _read_only,
    "NoSuchBucket": _absent,
    "ContainerNotFound": _absent,
    "ContainerBeingDeleted": _absent,
}
_BY_STATUS: Mapping[str, _Make] = {
    "401": _denied,
    "403": _denied,
    "405": _read_only,
    "429": _throttled,
    "507": _full,
}


def refusal(text: str, kind: str = "") -> StagingApiError:
    """Return the error for a failure response of a bucket.

    Args:
        text: text of the failure, with the status and, if there is one, the body of the response.
        kind: the library's name of the failure, used if there is no other.
    """
    code, status = _CODE.search(text), _STATUS.search(text)
    if code and code[1] in _BY_CODE:
        return _BY_CODE[code[1]]()
    if status and status[1] in _BY_STATUS:
        return _BY_STATUS[status[1]]()
    answered = f"answered {status[1]}" if status else f"did not answer ({kind})"
    return StoreFailed(f"the object store {answered}", retry_after_seconds=10)
