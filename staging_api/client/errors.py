"""Errors that the methods of the client raise.

    StagingApiError             has code, detail, retryable, request_id, help and, if it is known,
    |                           retry_after_seconds
    |-- Unreachable             nothing listens at the address of the service [1]
    |-- Unavailable             the service cannot do it just now, or was out of reach for too long
    |-- DeadlineOver            not done in time; the service may still continue
    |-- AnswerUnusable          the answer is not one of this service
    |
    |-- Invalid                 a field of the request is wrong: errors
    |   `-- PackageInvalid      no package that was sent is acceptable
    |-- Unauthenticated         no credential, or an invalid one
    |-- Forbidden               the caller may not do this
    |   `-- SourceNotAllowed    the archive is outside the service's allow-list
    |-- NotFound                there is no such thing
    |   |-- ArchiveNotFound     nothing is at the archive's address
    |   `-- ArtifactNotFound    the archive exists, this object of it does not
    |-- Conflict                the present state forbids it
    |   |-- LockHeld            another request holds the lock: lock
    |   |-- LockLost            the lock was lost before the work was done
    |   |-- IdempotencyKeyBusy  the first request with this key still runs
    |   `-- Cancelled           the staging was cancelled: staging_id
    |-- IdempotencyKeyReused    the key came back with another body
    |-- LimitExceeded           more bytes, members or names than allowed
    |-- TooManyRequests         the caller exceeds its rate, or its concurrency
    |
    |-- SourceFailed            the source did not deliver
    |   |-- SourceRefused       it denies access
    |   |-- SourceUnverified    nothing vouches for an object that needs it
    |   |-- SourceChanged       the object changed while it was read
    |   `-- ArchiveCorrupt      the bytes are not what they should be
    |-- ArchiveUnsafe           an archive member that must not be unpacked, or written here
    |-- ArtifactAmbiguous       several objects fit an artifact that is one
    |-- UploadWaitOver          the uploader did not finish in time
    |-- NoSpace                 the store of the service is full
    |-- StoreFailed             the store of the service failed
    |-- SigningFailed           a release could not be signed
    |-- HookFailed              a program of the service's operator failed
    `-- DiskFailed              a file of this machine cannot be read or written

[1] A subclass of Unavailable, so that a handler of Unavailable covers both.

`StagingClient.wait` also raises the error that made a staging fail, with its `staging_id`. An error
code that is newer than this client is raised as the class of its status. docs/reference/errors.md
has the remedy for each code.
"""

from staging_api.errors import (
    AnswerUnusable,
    ArchiveCorrupt,
    ArchiveNotFound,
    ArchiveUnsafe,
    ArtifactAmbiguous,
    ArtifactNotFound,
    Cancelled,
    Conflict,
    DeadlineOver,
    DiskFailed,
    FieldError,
    Forbidden,
    HeldLock,
    HookFailed,
    IdempotencyKeyBusy,
    IdempotencyKeyReused,
    Invalid,
    LimitExceeded,
    LockHeld,
    LockLost,
    NoSpace,
    NotFound,
    PackageInvalid,
    SigningFailed,
    SourceChanged,
    SourceFailed,
    SourceNotAllowed,
    SourceRefused,
    SourceUnverified,
    StagingApiError,
    StoreFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unreachable,
    UploadWaitOver,
)

__all__ = [
    "AnswerUnusable",
    "ArchiveCorrupt",
    "ArchiveNotFound",
    "ArchiveUnsafe",
    "ArtifactAmbiguous",
    "ArtifactNotFound",
    "Cancelled",
    "Conflict",
    "DeadlineOver",
    "DiskFailed",
    "FieldError",
    "Forbidden",
    "HeldLock",
    "HookFailed",
    "IdempotencyKeyBusy",
    "IdempotencyKeyReused",
    "Invalid",
    "LimitExceeded",
    "LockHeld",
    "LockLost",
    "NoSpace",
    "NotFound",
    "PackageInvalid",
    "SigningFailed",
    "SourceChanged",
    "SourceFailed",
    "SourceNotAllowed",
    "SourceRefused",
    "SourceUnverified",
    "StagingApiError",
    "StoreFailed",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "UploadWaitOver",
]
