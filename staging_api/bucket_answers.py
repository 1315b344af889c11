"""Interpretation of the failures of a bucket, for sources, stores and exports alike.

The library has few error classes, and only one for all failures of a listing. Therefore the status
and the code of the response are extracted from its text. Services have several codes for the same
failure, and some only a status. Only known words are repeated: the text contains addresses, and
signatures in them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_NO_PROOF = re.compile(r"InvalidCertificate\(\s*(\w{1,60})")
#: Metadata services of platforms, which issue credentials.
_METADATA = ("//169.254.169.254", "//169.254.170.2", "//metadata.google.internal")


class FailureCause(Enum):
    """Why a bucket failed."""

    DENIED = auto()
    SKEWED = auto()
    EXPIRED = auto()
    THROTTLED = auto()
    READ_ONLY = auto()
    FULL = auto()
    ABSENT_BUCKET = auto()
    OTHER_REGION = auto()
    NO_CREDENTIAL = auto()
    NO_PROOF = auto()
    NO_TLS = auto()
    NO_RANGES = auto()
    OTHER = auto()


@dataclass(frozen=True)
class BucketFailure:
    """A failure of a bucket.

    Attributes:
        cause: cause of the failure; `FailureCause.OTHER` if none is known.
        said: description of the fault, such as ``it answered 403 AccessDenied``.
        status: status of the response; empty if there was no response of the bucket.
        code: error code in the response; empty if it has none.
    """

    cause: FailureCause
    said: str
    status: str = ""
    code: str = ""


_CODES: Mapping[FailureCause, str] = {
    FailureCause.DENIED: (
        "AccessDenied AllAccessDisabled AccountIsDisabled AccountProblem InvalidAccessKeyId"
        " SignatureDoesNotMatch InvalidToken AuthenticationFailed AuthenticationRequired"
        " AuthorizationFailure AuthorizationPermissionMismatch AuthorizationSourceIPMismatch"
        " InsufficientAccountPermissions InvalidAuthenticationInfo NoAuthenticationInformation"
        " PublicAccessNotPermitted UserProjectAccountProblem"
    ),
    FailureCause.SKEWED: "RequestTimeTooSkewed RequestExpired",
    FailureCause.EXPIRED: "ExpiredToken ExpiredTokenException TokenRefreshRequired",
    FailureCause.THROTTLED: (
        "SlowDown Throttling ThrottlingException TooManyRequests RequestLimitExceeded"
        " RateLimitExceeded ServerBusy BandwidthLimitExceeded"
    ),
    FailureCause.FULL: "QuotaExceeded EntityTooLarge XMinioStorageFull InsufficientCapacity",
    FailureCause.READ_ONLY: (
        "MethodNotAllowed XMinioReadOnly BlobImmutableDueToPolicy ObjectUnderActiveHold"
        " RetentionPolicyNotMet"
    ),
    FailureCause.ABSENT_BUCKET: "NoSuchBucket ContainerNotFound ContainerBeingDeleted",
    FailureCause.OTHER_REGION: (
        "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraint"
    ),
}
_BY_CODE = {code: cause for cause, codes in _CODES.items() for code in codes.split()}
_BY_STATUS = {
    "401": FailureCause.DENIED,
    "403": FailureCause.DENIED,
    "405": FailureCause.READ_ONLY,
    "429": FailureCause.THROTTLED,
    "507": FailureCause.FULL,
}
#: The library's own message for a redirect of S3, which has no Location.
_REGION_WORDS = "incorrectly configured region"
#: Messages of the underlying libraries for requests without a response.
_BY_WORDS: Mapping[str, tuple[FailureCause, str]] = {
    "InvalidContentType": (
        FailureCause.NO_TLS,
        "it did not answer in TLS: its address may be one of http://",
    ),
    "tls handshake eof": (
        FailureCause.OTHER,
        "it cut the connection while TLS was agreed on: its address may be one of http://",
    ),
    "NotPartial": (FailureCause.NO_RANGES, "it has no ranges, as a bucket must"),
    "dns error": (FailureCause.OTHER, "its address has a host of no known name"),
    "Connection refused": (FailureCause.OTHER, "it could not be connected to"),
    "TimedOut": (FailureCause.OTHER, "it did not answer in time"),
    "IncompleteMessage": (FailureCause.OTHER, "it cut the connection"),
    "Connection reset": (FailureCause.OTHER, "it cut the connection"),
}


def bucket_failure(text: str, kind: str = "") -> BucketFailure:
    """Return the cause and the description of a failure.

    Args:
        text: text of the failure, with the status and, if there is one, the body of the response.
        kind: the library's name of the failure, used if there is no other.
    """
    if any(place in text for place in _METADATA):
        return BucketFailure(
            FailureCause.NO_CREDENTIAL,
            "no credential is set, and this machine's platform gave none",
        )
    code, status = (_found(pattern, text) for pattern in (_CODE, _STATUS))
    if code or status:
        cause = _BY_CODE.get(code) or _BY_STATUS.get(status, FailureCause.OTHER)
        said = f"it answered {' '.join(filter(None, (status, code)))}"
        return BucketFailure(cause, said, status, code)
    if _REGION_WORDS in text:
        return BucketFailure(FailureCause.OTHER_REGION, "it is in another region")
    return _unanswered(text, kind)


def _unanswered(text: str, kind: str) -> BucketFailure:
    if proof := _NO_PROOF.search(text):
        said = f"it has no valid certificate for its name: {proof[1]}"
        return BucketFailure(FailureCause.NO_PROOF, said)
    failures = (failure for words, failure in _BY_WORDS.items() if words in text)
    return BucketFailure(*next(failures, (FailureCause.OTHER, f"it did not answer ({kind})")))


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
