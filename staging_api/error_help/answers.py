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
        "The path exists, and no caller may use this method on it.",
        "Use a method that the header Allow lists.",
    ),
    "not_acceptable": ErrorHelp(
        "The header Accept asks for a form that this path does not have.",
        "Leave Accept out, or name the media type that /openapi.json has for the answer.",
    ),
    "unsupported_media_type": ErrorHelp(
        "The body is not of the media type that this path takes.",
        "Send Content-Type: application/json, or what /openapi.json has for the request.",
    ),
    "http_error": ErrorHelp(
        "The request breaks a rule of HTTP that has no code of its own; the status says which.",
        "Read the detail; a program that is no HTTP client of common make may be the cause.",
    ),
}

#: Codes of the service's responses, each with the meaning of its class.
OF_ANSWERS: Mapping[str, ErrorHelp] = {
    "invalid_request": ErrorHelp(
        "A field, a parameter, a header or the body as a whole is wrong.",
        "Correct what `errors` names; each entry says what would be right.",
    ),
    "package_invalid": ErrorHelp(
        "An uploaded package is malformed, unsafe or over a limit of the archive.",
        "Build it again by the rule in the detail; nothing of it was accepted.",
    ),
    "unauthenticated": ErrorHelp(
        "The request has no credential, or one that is unknown, expired or made for another"
        " service.",
        "Send `Authorization: Bearer TOKEN` (with Keystone, `X-Auth-Token` does as well);"
        " WWW-Authenticate says which kind is wanted. Ask the operator for a token.",
    ),
    "forbidden": ErrorHelp(
        "The caller is known and does not have the role that this needs.",
        "Ask the operator for the role that the detail names.",
    ),
    "source_not_allowed": ErrorHelp(
        "The archive_url begins with no prefix of STAGING_SOURCES, or leads to an address that the"
        " service must not read, or in a folder through a link, which is never followed.",
        "Check the URL for typing errors; the operator can add its prefix to STAGING_SOURCES. "
        " Request the target of a link instead of the link.",
    ),
    "not_found": ErrorHelp(
        "There is no such row, file or path here, or no longer.",
        "Check the id or path. What was evicted can be staged again.",
    ),
    "archive_not_found": ErrorHelp(
        "The archive's address is empty: the build was never uploaded, is still being uploaded, or"
        " was removed.",
        "Check the URL. Send `upload_wait_seconds` to wait for a build that is about to come.",
    ),
    "artifact_not_found": ErrorHelp(
        "The archive is there, and has no object that fits this artifact.",
        "Compare the catalogue with its objects: POST /api/v1.0/catalogue/check. Request another"
        " name, or correct the catalogue.",
    ),
    "conflict": ErrorHelp(
        "The present state forbids it: it has ended already, is pinned, or the name is taken.",
        "Read the present state, then decide; the same request gets the same answer until it"
        " changes.",
    ),
    "lock_held": ErrorHelp(
        "Another request holds the lock; `lock` says which, since when and for how long at most.",
        "Come back after Retry-After, or send `Prefer: wait=N` to queue. A lock whose holder died"
        " expires by itself; operators may break one that hangs.",
    ),
    "lock_lost": ErrorHelp(
        "The lock ran out, was broken or taken over before the work was done. Nothing was written"
        " after that.",
        "Send the request again. If it comes often, the database is too slow for"
        " STAGING_LEASE_SECONDS.",
    ),
    "idempotency_key_busy": ErrorHelp(
        "The first request with this Idempotency-Key has no answer yet.",
        "Come back after Retry-After with the same key: the answer will be that of the first.",
    ),
    "idempotency_key_reused": ErrorHelp(
        "The Idempotency-Key belongs to a request with another body, path or caller.",
        "Make a new key for each new request, and keep it only for retries of the same one.",
    ),
    "limit_exceeded": ErrorHelp(
        "More bytes, members or names than a limit of the service allows; the detail names it.",
        "Ask for less. The operator can raise the limit that the detail names.",
    ),
    "too_many_requests": ErrorHelp(
        "The caller exceeds its rate, or its number of requests at once.",
        "Come back after Retry-After, and send fewer requests at once.",
    ),
    "archive_unsafe": ErrorHelp(
        "A member of a container file would leave its folder, or is a device, or is a bomb.",
        "Have the build made again without it. Nothing of the artifact was staged.",
    ),
    "artifact_ambiguous": ErrorHelp(
        "Several objects of the archive fit an artifact that is one; the detail names them.",
        "Narrow the pattern in the catalogue, or remove the object that is too many.",
    ),
    "source_failed": ErrorHelp(
        "The source refused, timed out, or cut its answer short, also after retries.",
        "Try again later if the problem is `retryable`; then look at the source itself. The detail"
        " has its answer.",
    ),
    "source_refused": ErrorHelp(
        "The source denies access, or does not serve the object: no credential, an expired one, a"
        " certificate that does not hold, or a response that would be the same again.",
        "The detail says which. The operator checks the credentials and certificates of sources; a"
        " signed URL may have expired.",
    ),
    "source_unverified": ErrorHelp(
        "The catalogue wants an object to be vouched for, and its checksum or signature is missing"
        " or is of another key.",
        "Find out why before anything else. If the publisher changed keys, correct the catalogue.",
    ),
    "source_changed": ErrorHelp(
        "The object was replaced at the source while it was read.",
        "Send the request again once the upload has ended.",
    ),
    "archive_corrupt": ErrorHelp(
        "The bytes are not the format that their name says, or do not have the declared digest.",
        "Upload the object again; it is damaged at its source.",
    ),
    "upload_wait_over": ErrorHelp(
        "The uploader did not finish within the time that was allowed for it.",
        "Check whether the upload continues, and send the request again; received bytes are kept.",
    ),
    "no_space": ErrorHelp(
        "The store, or its quota, has no space, and nothing can be evicted.",
        "Come back later if it is retryable; else unpin or evict something, or give the store more"
        " space.",
    ),
    "store_failed": ErrorHelp(
        "The disk or the bucket of the store failed or cannot be reached.",
        "Come back after Retry-After; the operator looks at the store. /readyz says the same.",
    ),
    "store_denied": ErrorHelp(
        "The credentials of the bucket, or the permissions of the folder, deny access.",
        "The operator gives the service's account the rights that docs/how-to/operations.md lists.",
    ),
    "store_clock_skew": ErrorHelp(
        "The clocks of this machine and of the bucket differ by more than its signatures allow.",
        "The operator sets the clock of the machine, and sees that it is kept.",
    ),
    "store_credential_expired": ErrorHelp(
        "The credential of the bucket has expired, and the platform has not renewed it.",
        "Come back after Retry-After. If it stays, the operator checks the platform's identity.",
    ),
    "store_throttled": ErrorHelp(
        "The bucket limits the rate of requests.",
        "Come back after Retry-After; fewer stagings at once help.",
    ),
    "store_read_only": ErrorHelp(
        "The store can be read, but not written: the volume is mounted read-only, or failing.",
        "The operator mounts it for writing. What is staged is served meanwhile.",
    ),
    "store_absent": ErrorHelp(
        "The store is not mounted, or was emptied by another hand.",
        "The operator mounts the right volume. Nothing is recorded as lost until then.",
    ),
    "wrong_store": ErrorHelp(
        "Another volume or bucket is mounted than the one that belongs to this database.",
        "The operator mounts the right one; docs/how-to/operations.md says how to move a store.",
    ),
    "record_broken": ErrorHelp(
        "The record of events does not fit together: a row was altered or removed by hand.",
        "The operator runs `staging-api audit verify`, which names the row, and compares with a"
        " backup.",
    ),
    "documents_unreadable": ErrorHelp(
        "An encrypted document cannot be opened: its key is missing, or its row was altered.",
        "The operator restores the key that the detail names.",
    ),
    "signing_failed": ErrorHelp(
        "A signing key is configured for the archive, and gpg made no signature with it.",
        "The operator checks the key: expired, locked or not there. Clients of the archive see the"
        " old generation.",
    ),
    "hook_failed": ErrorHelp(
        "One of the operator's programs, run before or after going live, did not succeed.",
        "Read its output in the publication; correct it and run the operation again.",
    ),
    "cancelled": ErrorHelp(
        "This staging was cancelled, by its caller or by an operator.",
        "Nothing, or stage the archive again. What was staged before stays.",
    ),
    "unavailable": ErrorHelp(
        "The service cannot do it just now: its database is away, or all its connections are in"
        " use.",
        "Come back after Retry-After. The operator looks at /readyz.",
    ),
    "connection_lost": ErrorHelp(
        "A connection to the database broke in the middle: the change was made or was not.",
        "Send the request again with the same Idempotency-Key.",
    ),
    "identity_unavailable": ErrorHelp(
        "Whether the credential holds cannot be found out: its issuer is out of reach.",
        "Come back after Retry-After; the credential may be good.",
    ),
    "database_busy": ErrorHelp(
        "The database answers, and another transaction was in the way, or its disk is full.",
        "Come back after Retry-After. If it stays, the operator looks at the database's disk.",
    ),
    "database_refused": ErrorHelp(
        "The database answers, and refuses this service: password, rights, or a setting.",
        "The operator reads the detail in the service's log and corrects the database's set-up.",
    ),
    "shutting_down": ErrorHelp(
        "This process ends; another one serves the retry.",
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
        "The file was sent while it was being staged, and its staging failed, was cancelled or"
        " has changed.",
        "Look at the error of the staging; request the file again once it is staged.",
    ),
    "documents_request_invalid": ErrorHelp(
        "A parameter or the body of a request about documents is wrong, or there is nothing to do"
        " it to.",
        "Correct what the detail names; it lists the valid values.",
    ),
    "documents_invalid": ErrorHelp(
        "Documents cannot be taken: YAML, schema, names or limits; or documents are missing that"
        " others need.",
        "Correct what `errors` names, each with its document and line. `staging-api documents"
        " lint FOLDER` finds the same before they are sent.",
    ),
    "rendering_failed": ErrorHelp(
        "The documents are valid one by one, and a parent, a substitution or a layer cannot be"
        " found or applied.",
        "Correct what `errors` names; `staging-api documents why` shows where a value comes from.",
    ),
    "buffer_conflict": ErrorHelp(
        "The buffer of documents is not as the request needs it: it has changes, it has none, it"
        " has moved since it was reviewed, or a document is in another collection already.",
        "Look at it (`staging-api documents diff`); then commit it, discard it, or send the request"
        " with the mode that the detail names.",
    ),
    "version_not_found": ErrorHelp(
        "Documents have no such version, revision, tag or collection.",
        "`staging-api documents history` lists the revisions and their tags.",
    ),
    "internal_error": ErrorHelp(
        "An unexpected error; its text may contain secrets, so it is only in the log.",
        "Tell the operator the request id. A retry may help, and may not.",
    ),
}
