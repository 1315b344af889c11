"""The tree of all errors, by meaning; independent of HTTP and SQL.

    StagingApiError
    |-- Invalid                 a field of the request is wrong
    |   `-- PackageInvalid      an uploaded package is malformed, unsafe or over a limit
    |-- CatalogueInvalid        a line of the catalogue of artifacts is wrong
    |-- Unauthenticated         no credential, or an invalid one
    |-- Forbidden               the caller may not do this
    |   `-- SourceNotAllowed    the archive is outside STAGING_SOURCES
    |-- NotFound                no such row or file here
    |   |-- ArchiveNotFound     the archive is not at its source
    |   `-- ArtifactNotFound    the archive exists, this object of it does not
    |-- Conflict                the present state forbids it
    |   |-- LockHeld            another request holds the lock
    |   |-- LockLost            this request held the lock and no longer does
    |   `-- IdempotencyKeyBusy  the first request with this key still runs
    |-- IdempotencyKeyReused    the key came back with another body
    |-- LimitExceeded           more bytes, members or names than allowed
    |-- TooManyRequests         the caller exceeds its rate or its concurrency limit
    |-- ArchiveUnsafe           an archive member that must not be unpacked
    |-- ArtifactAmbiguous       several objects fit an artifact that is one
    |-- SourceFailed            the source did not deliver
    |   |-- SourceUnverified    nothing vouches for an object that needs it
    |   |-- SourceRefused       the source denies access
    |   |-- SourceChanged       the object changed while it was read
    |   `-- ArchiveCorrupt      the bytes do not form the archive they claim to be
    |-- UploadWaitOver          the uploader did not finish in time
    |-- NoSpace                 the store is full
    |-- StoreFailed             the store did not take or give what it should
    |   |-- StoreDenied         its credentials or permissions deny access
    |   |-- StoreClockSkew      it refuses signatures because the clocks differ
    |   |-- StoreCredentialExpired  the credential ran out; the platform renews it
    |   |-- StoreThrottled      it limits the rate of requests
    |   |-- StoreReadOnly       it can be read and not written
    |   `-- StoreAbsent         it is not mounted, or was emptied
    |       `-- WrongStore      another volume or bucket is mounted
    |-- RecordBroken            the record of events was altered
    |-- DocumentsUnreadable     a sealed document cannot be opened: key missing, or altered
    |-- SigningFailed           a key is configured and no signature came of it
    |-- HookFailed              the operator's own program failed
    |-- Cancelled               this staging was cancelled
    |-- SchemaOutdated          the database has not been migrated for this version
    |   `-- SchemaUnknown       its revision is not in the line of this version
    |-- MigrationFailed         PostgreSQL refused a step of the schema
    |   `-- MigrationRefused    the role may not change the schema
    |-- DatabaseUnusable        the embedded database cannot be started as it is set up
    |-- AddressTaken            another program listens where this one should
    |-- Unavailable             the service cannot work just now (database away)
    |   |-- Unreachable         for clients: nothing listens at its address
    |   |-- NoConnectionFree    all database connections of this process are in use
    |   |-- ConnectionLost      a connection broke; the statement was done or not
    |   |-- IdentityUnavailable the credential cannot be checked just now
    |   |-- DatabaseBusy        the database answers; another transaction blocks it for a moment
    |   |-- DatabaseRefused     the database answers; its configuration does not let us work
    |   `-- ShuttingDown        this process ends; another one continues the work
    |-- ClientGone              the client closed its connection while its request waited
    |-- DeadlineOver            for clients: not done within the time that they allowed
    |-- DiskFailed              for clients: a file of this machine cannot be read or written
    `-- AnswerUnusable          for clients: the answer is not one of this service

``code`` is stable, so clients may branch on it; ``retryable`` says whether the same request can
succeed later. A class without its own code is internal to the server. The HTTP status of each class
is in ``staging_api.http.problems``; ``docs/reference/errors.md`` has all three on one screen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """A wrong field of a request, with a message that states the valid values."""

    field: str
    message: str


@dataclass(frozen=True)
class HeldLock:
    """Description of a lock that another request holds.

    Attributes:
        kind: such as ``archive`` or ``publisher``.
        scope: the protected scope, such as an archive_url or ``global``.
        id, holder: the grant's id and the process that holds it; None during the cool-down after an
            expiry.
        reference_id: the ``X-Context-Marker`` of the request that took it.
        expires_in_seconds: seconds until it expires, unless its holder renews it.
    """

    kind: str
    scope: str
    id: str | None
    holder: str | None
    reference_id: str | None
    acquired_at: datetime | None
    expires_at: datetime | None
    expires_in_seconds: float | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "HeldLock":
        """Parse the member ``lock`` of a problem; missing members and invalid times become None."""

        def time(name: str) -> datetime | None:
            value = document.get(name)
            # Within this process it is a datetime; a response has its text, perhaps changed by a
            # proxy.
            if isinstance(value, datetime):
                return value
            try:
                return datetime.fromisoformat(str(value))
            except ValueError:
                return None

        return cls(
            kind=str(document.get("kind")),
            scope=str(document.get("scope")),
            id=_text(document.get("id")),
            holder=_text(document.get("holder")),
            reference_id=_text(document.get("reference_id")),
            acquired_at=time("acquired_at"),
            expires_at=time("expires_at"),
            expires_in_seconds=_number(document.get("expires_in_seconds")),
        )


class StagingApiError(Exception):
    """Base class of all errors; used directly for an unexpected error."""

    # The client sets a newer service's code on the instance of an older class.
    code: str = "internal_error"
    title: str = "Internal error"
    retryable: bool = False

    def __init__(
        self,
        detail: str,
        *,
        retryable: bool | None = None,
        retry_after_seconds: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Store the content of the response.

        Args:
            detail: one sentence about this occurrence: the fault and its remedy.
            retryable: whether the same request can succeed later; None: the default of the class.
            retry_after_seconds: seconds until a retry can succeed; None if unknown.
            extra: further members of the response, such as ``lock``; JSON values and times.
        """
        super().__init__(detail)
        self.detail = detail
        if retryable is not None:
            self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.extra = dict(extra or {})

    @property
    def request_id(self) -> str | None:
        """Id of the refused request, which is in the service's log; None before a response."""
        return self._text("request_id")

    @property
    def staging_id(self) -> str | None:
        """Id of the staging that failed, was cancelled or continues; None if there is none."""
        return self._text("staging_id")

    @property
    def help(self) -> str | None:
        """URL of the explanation of the error, or a path on the service; None if there is none."""
        return self._text("help")

    def _text(self, name: str) -> str | None:
        return _text(self.extra.get(name))


class Invalid(StagingApiError):
    """A field of the request is wrong; ``errors`` has its name and the valid values."""

    code, title = "invalid_request", "The request is not valid"

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)

    @classmethod
    def field(cls, field: str, message: str) -> "Invalid":
        """Return an error about one field."""
        return cls(f"{field}: {message}", [FieldError(field, message)])


class CatalogueInvalid(StagingApiError):
    """A line of the artifact catalogue is wrong; the service checks it when it starts."""

    code, title = "catalogue_invalid", "The catalogue is not valid"


class PackageInvalid(Invalid):
    """An uploaded package is malformed, unsafe or over a limit; the detail says where."""

    code, title = "package_invalid", "The package is not acceptable"


class Unauthenticated(StagingApiError):
    """No credential was sent, or it is invalid; `challenge` is for ``WWW-Authenticate``."""

    code, title = "unauthenticated", "A valid credential is needed"
    challenge: str = "Bearer"


class Forbidden(StagingApiError):
    """The caller is authenticated, but lacks the permission for this request."""

    code, title = "forbidden", "Not allowed"


class SourceNotAllowed(Forbidden):
    """The archive is outside the allow-list of sources."""

    code, title = "source_not_allowed", "This source is not allowed"


class NotFound(StagingApiError):
    """The object does not exist."""

    code, title = "not_found", "Not found"


class ArchiveNotFound(NotFound):
    """The source has no object below the archive's URL."""

    code, title = "archive_not_found", "The archive is not there"


class ArtifactNotFound(NotFound):
    """The archive exists, but has no object for this artifact."""

    code, title = "artifact_not_found", "The artifact is not in the archive"


class Conflict(StagingApiError):
    """The present state of the object does not allow this change."""

    code, title = "conflict", "Conflict with the present state"


class LockHeld(Conflict):
    """Another request holds the lock; the same request can succeed later."""

    code, title, retryable = "lock_held", "Another request holds the lock", True

    @property
    def lock(self) -> HeldLock | None:
        """The lock that another request holds; None if the response does not describe it."""
        known = self.extra.get("lock")
        return HeldLock.of(known) if isinstance(known, Mapping) else None


class LockLost(Conflict):
    """The lock expired, was broken or was taken over before the work was done."""

    code, title, retryable = "lock_lost", "The lock was lost before the work was done", True


class IdempotencyKeyBusy(Conflict):
    """The first request with this Idempotency-Key is still running."""

    code, title, retryable = "idempotency_key_busy", "The first request still runs", True


class IdempotencyKeyReused(StagingApiError):
    """The Idempotency-Key was used before, with another body."""

    code, title = "idempotency_key_reused", "The Idempotency-Key belongs to another request"


class LimitExceeded(StagingApiError):
    """More bytes, members or names than the limits allow."""

    code, title = "limit_exceeded", "Over a limit"


class TooManyRequests(StagingApiError):
    """The caller exceeds its rate or its concurrency limit in a process."""

    code, title, retryable = "too_many_requests", "Too many requests", True


class ArchiveUnsafe(StagingApiError):
    """A member of a container file is unsafe: a link out, a device, ``..`` in its name."""

    code, title = "archive_unsafe", "The archive has an unsafe member"


class ArtifactAmbiguous(StagingApiError):
    """Several objects match an artifact that must be a single object; the detail names them."""

    code, title = "artifact_ambiguous", "Several objects fit the artifact"


class SourceFailed(StagingApiError):
    """The source did not deliver: refused, timed out, cut short or answered with an error.

    Not retryable if a retry would fail in the same way, such as circular redirects.
    """

    code, title, retryable = "source_failed", "The source failed", True


class SourceRefused(SourceFailed):
    """The source denies access: no credential, an invalid one, a bad certificate."""

    code, title, retryable = "source_refused", "The source refused access", False


class SourceUnverified(SourceFailed):
    """An object lacks the checksum or signature that the catalogue demands."""

    code, title, retryable = "source_unverified", "The source is not verified", False


class SourceChanged(SourceFailed):
    """The object was replaced while it was read."""

    code, title = "source_changed", "The source object changed while it was read"


class ArchiveCorrupt(SourceFailed):
    """The bytes are not the declared format, or do not have the declared digest."""

    code, title, retryable = "archive_corrupt", "The archive is damaged", False


class UploadWaitOver(StagingApiError):
    """The upload did not finish within the waiting time of the request."""

    code, title, retryable = "upload_wait_over", "The upload did not finish in time", True


class NoSpace(StagingApiError):
    """The store or its quota has no space left; not retryable if it can never have enough."""

    code, title, retryable = "no_space", "No space left", True


class StoreFailed(StagingApiError):
    """The disk or bucket of the store is unreachable, or refuses; subclasses for known reasons.

    Temporary refusals are retryable; the others need an operator, and the detail has the remedy.
    """

    code, title, retryable = "store_failed", "The store failed", True


class StoreDenied(StoreFailed):
    """The credentials, or the permissions of the files, deny access."""

    code, title, retryable = "store_denied", "The store denies access", False


class StoreClockSkew(StoreFailed):
    """The clocks of this machine and the store differ by more than its signatures allow."""

    code, title, retryable = "store_clock_skew", "The clocks of pod and store differ", False


class StoreCredentialExpired(StoreFailed):
    """The credential expired; the platform's credential chain will supply another one."""

    code, title = "store_credential_expired", "The credential of the store has expired"


class StoreThrottled(StoreFailed):
    """The store limits the rate of requests."""

    code, title = "store_throttled", "The store limits its requests"


class StoreReadOnly(StoreFailed):
    """The store can be read, but not written."""

    code, title = "store_read_only", "The store is read-only"


class StoreAbsent(StoreFailed):
    """The store is not mounted, or was emptied.

    This says nothing about the contents: the error ends when the right store is mounted.
    """

    code, title = "store_absent", "The store is not there"


class WrongStore(StoreAbsent):
    """The mounted volume or bucket is a store that does not belong to this database."""

    code, title = "wrong_store", "Another store is mounted"


class RecordBroken(StagingApiError):
    """The record of events is inconsistent: it was altered, or events were removed."""

    code, title = "record_broken", "The record of events is not whole"


class DocumentsUnreadable(StagingApiError):
    """An encrypted document cannot be decrypted: its key is missing, or its row was altered."""

    code, title = "documents_unreadable", "An encrypted document cannot be read"


class SigningFailed(StagingApiError):
    """A signing key is configured, and gpg did not sign with it."""

    code, title = "signing_failed", "The release could not be signed"


class HookFailed(StagingApiError):
    """A program of the operator, run before or after a generation goes live, failed."""

    code, title = "hook_failed", "A hook failed"


class Cancelled(Conflict):
    """This staging was cancelled."""

    code, title = "cancelled", "The staging was cancelled"


class SchemaOutdated(StagingApiError):
    """The database has not been migrated for this version of the code."""

    code, title = "schema_outdated", "The database schema is too old"


class SchemaUnknown(SchemaOutdated):
    """The database is at a revision that belongs neither to this version nor to a later one."""

    code, title = "schema_unknown", "The database schema is not one of this service"


class MigrationFailed(StagingApiError):
    """PostgreSQL refused a statement of a schema migration."""

    code, title = "migration_failed", "The schema was not changed"


class MigrationRefused(MigrationFailed):
    """The role of the database URL may not change the schema."""

    code, title = "migration_refused", "The role may not change the schema"


class AddressTaken(StagingApiError):
    """Another program listens at the address on which this program is to listen."""

    code, title, retryable = "address_taken", "The address is in use", True


class DatabaseUnusable(StagingApiError):
    """The embedded database is not installed, or its data have another owner or version."""

    code, title = "database_unusable", "The embedded database cannot be used"


class Unavailable(StagingApiError):
    """The service cannot do this now: its database is unreachable, or the service shuts down."""

    code, title, retryable = "unavailable", "Temporarily unavailable", True


class Unreachable(Unavailable):
    """Nothing listens at the address of the service, or its name is unknown."""

    code, title = "unreachable", "The service cannot be reached"


class NoConnectionFree(Unavailable):
    """All database connections of this process are in use; this is temporary."""


class ConnectionLost(Unavailable):
    """A connection to the database broke; the statement may have been executed or not."""

    code, title = "connection_lost", "The connection to the database broke"


class IdentityUnavailable(Unavailable):
    """The credential cannot be checked at the moment; it may be valid."""

    code, title = "identity_unavailable", "The credential cannot be checked just now"


class DatabaseBusy(Unavailable):
    """The database answers, but cannot do this now: a lock, a conflict, or no disk space."""

    code, title = "database_busy", "The database is busy"


class DatabaseRefused(Unavailable):
    """The database answers, but refuses this service: credentials, permissions, settings."""

    code, title = "database_refused", "The database refuses this service"


class ShuttingDown(Unavailable):
    """This process shuts down before the work is done; another process serves the retry."""

    code, title = "shutting_down", "This process is shutting down"


class ClientGone(StagingApiError):
    """The client closed its connection while its request waited."""

    code, title = "client_gone", "The client is gone"


class DeadlineOver(StagingApiError):
    """The work was not done within the caller's deadline; the service may still continue."""

    code, title, retryable = "deadline_over", "Not done in time", True


class DiskFailed(StagingApiError):
    """A file of the client's machine cannot be read or written; the detail names it."""

    code, title = "disk_failed", "A file cannot be read or written"


class ExtraNotInstalled(StagingApiError):
    """This verb needs an extra of the package that is not installed, or another platform."""

    code, title = "not_installed", "Not installed"


class AnswerUnusable(StagingApiError):
    """The response is not from this API, but from another service, a portal or a proxy."""

    code, title = "answer_unusable", "The answer is not one of this service"


def class_of(code: str) -> type[StagingApiError]:
    """Return the class of errors with this code; the base class if there is none."""

    def tree(kind: type[StagingApiError]) -> Iterator[type[StagingApiError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from tree(child)

    return next((kind for kind in tree(StagingApiError) if kind.code == code), StagingApiError)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
