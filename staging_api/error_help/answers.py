"""Error codes in responses."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorHelp:
    """Help for one error code.

    Attributes:
        cause: fault that this code reports.
        cure: remedy for its reader.
    """

    cause: str
    cure: str


#: Codes of refusals that no class of the error tree has.
OF_HTTP: Mapping[str, ErrorHelp] = {
    "method_not_allowed": ErrorHelp(
        "The path exists, but does not support this method.",
        "Use a method that the header Allow lists.",
    ),
    "not_acceptable": ErrorHelp(
        "The header Accept asks for a media type that this path does not produce.",
        "Omit Accept, or name the media type that /openapi.json lists for the response.",
    ),
    "unsupported_media_type": ErrorHelp(
        "The body has a media type that this path does not accept.",
        "Send Content-Type: application/json, or the type that /openapi.json has for the request.",
    ),
    "http_error": ErrorHelp(
        "The request breaks a rule of HTTP that has no code of its own; the status says which.",
        "Read the detail; the cause may be a program that does not use a common HTTP client.",
    ),
}

#: Codes of the service's responses, each with the meaning of its class.
OF_ANSWERS: Mapping[str, ErrorHelp] = {
    "invalid_request": ErrorHelp(
        "A field, a parameter, a header or the body as a whole is wrong.",
        "Correct the fields that `errors` names; each entry states the valid values.",
    ),
    "package_invalid": ErrorHelp(
        "An uploaded package is malformed, unsafe or over a limit of the archive.",
        "Build the package again, following the rule in the detail; nothing of it was accepted.",
    ),
    "unauthenticated": ErrorHelp(
        "The request has no credential, or one that is unknown, expired or made for another"
        " service.",
        "Send `Authorization: Bearer TOKEN` (with Keystone, `X-Auth-Token` also works);"
        " WWW-Authenticate names the expected kind. Ask the operator for a token.",
    ),
    "forbidden": ErrorHelp(
        "The caller is authenticated, but does not have the role that this request needs.",
        "Ask the operator for the role that the detail names.",
    ),
    "source_not_allowed": ErrorHelp(
        "The archive_url begins with none of the prefixes in STAGING_SOURCES; or it leads to an"
        " address that the service must not read; or it goes through a symbolic link in a folder,"
        " which the service never follows.",
        "Check the URL for typing errors; the operator can add its prefix to STAGING_SOURCES."
        " Instead of a link, request the target of the link.",
    ),
    "not_found": ErrorHelp(
        "The row, file or path does not exist, or no longer exists.",
        "Check the id or path. An evicted artifact can be staged again.",
    ),
    "archive_not_found": ErrorHelp(
        "The source has no objects at the archive's URL: the build was never uploaded, is still"
        " being uploaded, or was removed.",
        "Check the URL. Send `upload_wait_seconds` to wait for a build whose upload is expected.",
    ),
    "artifact_not_found": ErrorHelp(
        "The archive exists, but has no object that matches this artifact.",
        "List what the archive has: POST /api/v1.0/catalogue/check. Request another name, or"
        " correct the catalogue.",
    ),
    "conflict": ErrorHelp(
        "The present state does not allow this change: the object has ended already, is pinned, or"
        " the name is taken.",
        "Read the present state, then decide; the same request gets the same answer until the"
        " state changes.",
    ),
    "lock_held": ErrorHelp(
        "Another request holds the lock; `lock` has its holder, its start and its expiry.",
        "Retry after Retry-After seconds, or send `Prefer: wait=N` to queue. A lock whose holder"
        " died expires by itself; operators may break a lock whose holder hangs.",
    ),
    "lock_lost": ErrorHelp(
        "The lock expired, was broken or was taken over before the work was done. Nothing was"
        " written after that.",
        "Send the request again. If this error is frequent, the database is too slow for"
        " STAGING_LEASE_SECONDS.",
    ),
    "idempotency_key_busy": ErrorHelp(
        "The first request with this Idempotency-Key is still running.",
        "Retry after Retry-After seconds with the same key: you get the first request's response.",
    ),
    "idempotency_key_reused": ErrorHelp(
        "The Idempotency-Key belongs to a request with another body, path or caller.",
        "Use a new key for each new request; reuse a key only to retry the same request.",
    ),
    "limit_exceeded": ErrorHelp(
        "More bytes, members or names than a limit of the service allows; the detail names it.",
        "Request less. The operator can raise the limit that the detail names.",
    ),
    "too_many_requests": ErrorHelp(
        "The caller exceeds its request rate, or its number of concurrent requests.",
        "Retry after Retry-After seconds, and send fewer requests at once.",
    ),
    "archive_unsafe": ErrorHelp(
        "A member of a container file would be written outside its folder, is a device, or is a"
        " decompression bomb.",
        "Have the build made again without that member. Nothing of the artifact was staged.",
    ),
    "artifact_ambiguous": ErrorHelp(
        "Several objects of the archive match an artifact that must be a single object; the detail"
        " names them.",
        "Narrow the pattern in the catalogue, or remove the surplus objects.",
    ),
    "source_failed": ErrorHelp(
        "The source refused, timed out, or cut its answer short, also after retries.",
        "Try again later if the error is `retryable`; otherwise look at the source itself. The"
        " detail quotes its answer.",
    ),
    "source_refused": ErrorHelp(
        "The source denies access, or does not serve the object: no credential, an expired"
        " credential, an invalid certificate, or another refusal that a retry would not change.",
        "The detail has the reason. The operator checks the credentials and certificates of"
        " sources; a signed URL may have expired.",
    ),
    "source_unverified": ErrorHelp(
        "The catalogue demands that a checksum or signature vouches for the object; it is missing,"
        " or the signature was made with another key.",
        "Find out why before you use the build. If the publisher changed keys, correct the"
        " catalogue.",
    ),
    "source_changed": ErrorHelp(
        "The object was replaced at the source while it was read.",
        "Send the request again once the upload has ended.",
    ),
    "archive_corrupt": ErrorHelp(
        "The bytes do not have the format that the object's name implies, or do not have the"
        " declared digest.",
        "Upload the object again; the copy at the source is damaged.",
    ),
    "upload_wait_over": ErrorHelp(
        "The upload did not finish within the waiting time of the request.",
        "Check whether the upload continues, and send the request again; received bytes are kept.",
    ),
    "no_space": ErrorHelp(
        "The store, or its quota, has no space, and nothing can be evicted.",
        "Retry later if the error is `retryable`; otherwise unpin or evict artifacts, remove"
        " packages, which are never evicted, or give the store more space.",
    ),
    "store_failed": ErrorHelp(
        "The disk or the bucket of the store failed or cannot be reached.",
        "Retry after Retry-After seconds; the operator looks at the store. /readyz reports the same"
        " fault.",
    ),
    "store_denied": ErrorHelp(
        "The credentials of the bucket, or the permissions of the folder, deny access.",
        "The operator gives the service's account the rights that docs/how-to/operations.md lists.",
    ),
    "store_clock_skew": ErrorHelp(
        "The clocks of this machine and of the bucket differ by more than its signatures allow.",
        "The operator sets the clock of the machine, and keeps it synchronised.",
    ),
    "store_credential_expired": ErrorHelp(
        "The credential of the bucket expired, and the platform has not supplied a new one.",
        "Retry after Retry-After seconds. If the error stays, the operator checks the platform's"
        " identity.",
    ),
    "store_throttled": ErrorHelp(
        "The bucket limits the rate of requests.",
        "Retry after Retry-After seconds; fewer stagings at once help.",
    ),
    "store_read_only": ErrorHelp(
        "The store can be read, but not written: its volume was mounted read-only, or has failed.",
        "The operator mounts it for writing. Staged files are served meanwhile.",
    ),
    "store_absent": ErrorHelp(
        "The store is not mounted, or was emptied by someone else.",
        "The operator mounts the right volume. Until then, no content is recorded as lost.",
    ),
    "wrong_store": ErrorHelp(
        "The mounted volume or bucket is a store that does not belong to this database.",
        "The operator mounts the right store; docs/how-to/operations.md says how to move a store.",
    ),
    "record_broken": ErrorHelp(
        "The record of events is inconsistent: a row was altered or removed by hand.",
        "The operator runs `staging-api audit verify`, which names the row, and compares with a"
        " backup.",
    ),
    "documents_unreadable": ErrorHelp(
        "An encrypted document cannot be opened: its key is missing, or its row was altered.",
        "The operator restores the key that the detail names.",
    ),
    "signing_failed": ErrorHelp(
        "A signing key is configured for the archive, but gpg could not sign with it.",
        "The operator checks whether the key is expired, locked or missing. Clients of the archive"
        " see the old generation.",
    ),
    "hook_failed": ErrorHelp(
        "A program of the operator, run before or after a generation goes live, failed.",
        "Read the program's output in the publisher run; correct it and run the operation again.",
    ),
    "cancelled": ErrorHelp(
        "This staging was cancelled, by its caller or by an operator.",
        "Stage the archive again if you still need it. Artifacts staged before are kept.",
    ),
    "unavailable": ErrorHelp(
        "The service cannot do this now: its database is unreachable, or all its connections are in"
        " use.",
        "Retry after Retry-After seconds. The operator looks at /readyz.",
    ),
    "connection_lost": ErrorHelp(
        "A connection to the database broke during a change: it is unknown whether it was made.",
        "Send the request again with the same Idempotency-Key.",
    ),
    "identity_unavailable": ErrorHelp(
        "The credential cannot be checked now: its issuer is unreachable.",
        "Retry after Retry-After seconds; the credential may be valid.",
    ),
    "database_busy": ErrorHelp(
        "The database answers, but another transaction blocked this one, or its disk is full.",
        "Retry after Retry-After seconds. If the error stays, the operator looks at the database's"
        " disk.",
    ),
    "database_refused": ErrorHelp(
        "The database answers, but refuses this service: password, permissions, or a setting.",
        "The operator reads the detail in the service's log and corrects the database's set-up.",
    ),
    "shutting_down": ErrorHelp(
        "This process shuts down; another process serves the retry.",
        "Send the request again at once.",
    ),
    "schema_outdated": ErrorHelp(
        "The database has not been migrated for this version of the service.",
        "The operator runs `staging-api migrate`.",
    ),
    "schema_unknown": ErrorHelp(
        "The database is at a revision of the schema that this version does not know.",
        "The operator starts the version that migrated it, or a later one.",
    ),
    "staging_broken": ErrorHelp(
        "The file was sent while it was being staged, but the staging failed, was cancelled or"
        " changed.",
        "Look at the error of the staging; request the file again once it is staged.",
    ),
    "documents_request_invalid": ErrorHelp(
        "A parameter or the body of a request about documents is wrong, or there is nothing that"
        " the request could act on.",
        "Correct what the detail names; it lists the accepted values.",
    ),
    "documents_invalid": ErrorHelp(
        "Documents are not acceptable: wrong YAML, schema or names, or over a limit; or they refer"
        " to missing documents.",
        "Correct what `errors` names, each with its document and line. `staging-api documents"
        " lint FOLDER` finds the same errors before the documents are sent.",
    ),
    "rendering_failed": ErrorHelp(
        "Each document is valid by itself, but a parent, a substitution or a layer cannot be found"
        " or applied.",
        "Correct what `errors` names; `staging-api documents why` shows where a value comes from.",
    ),
    "buffer_conflict": ErrorHelp(
        "The buffer of documents is not in the state that the request needs: it has changes or has"
        " none, it changed since the review, or a document is in another collection already.",
        "Look at the buffer (`staging-api documents diff`); then commit it, discard it, or send the"
        " request with the mode that the detail names.",
    ),
    "version_not_found": ErrorHelp(
        "The named version, revision, tag or collection of documents does not exist.",
        "`staging-api documents history` lists the revisions and their tags.",
    ),
    "internal_error": ErrorHelp(
        "An unexpected error. Its text may contain secrets, so it is written to the log only.",
        "Give the operator the request id. A retry may or may not help.",
    ),
}
