"""Remedies for errors: the end of an error's line, if the caller or operator can solve it."""

from collections.abc import Mapping

from staging_api.errors import StagingApiError

_LOOK = "`staging-api catalogue --check - URL` shows what exists"
_SOURCE = "try again later: the service has tried several times"
_SAME_AGAIN = "the same would happen again, until the source or the URL is changed"
_READYZ = "its /readyz names the fault"
_DATABASE = "STAGING_DATABASE_URL says where that is"

#: By the stable code of an error.
# Shorter than those of `error_help`, and in terms of verbs and options: each ends a line.
_CURES: Mapping[str, str] = {
    "archive_not_found": f"check the spelling of the URL; {_LOOK}",
    "artifact_ambiguous": "make the pattern of the catalogue's entry narrower",
    "artifact_not_found": _LOOK,
    "archive_corrupt": "the archive has to be uploaded again",
    "deadline_over": "give a longer --timeout",
    "forbidden": "ask an operator for the required role",
    "limit_exceeded": "an operator can raise the limit: the settings STAGING_UNPACK_* and _MAX_*",
    "lock_held": "`staging-api locks` shows who works; or give a longer --timeout",
    "no_space": "`staging-api store` shows what uses the space, and which artifacts are idle",
    "source_failed": _SOURCE,
    "source_not_allowed": "an operator has to name its prefix in STAGING_SOURCES",
    "store_absent": "mount the store, or run `staging-api adopt-store`",
    "too_many_requests": "send fewer at once",
    "unauthenticated": "give a token by STAGING_TOKEN or --token",
    "upload_wait_over": "try again when the upload is complete",
    "wrong_store": "mount the store of this database, or run `staging-api adopt-store`",
}
#: For a prune that frees nothing, as in a store that has only packages.
PACKAGES_STAY = "; packages are never evicted: `staging-api publish remove` removes them"
_UNREACHABLE = "is it running there? --server or STAGING_SERVER says where"


def cure_of(error: StagingApiError) -> str:
    """Return the remedy for an error; empty if its message says everything."""
    if (staging_id := error.extra.get("staging_id")) and error.code == "deadline_over":
        return f"`staging-api wait {staging_id}` goes on waiting"
    if error.code == "source_failed" and not error.retryable:
        return _SAME_AGAIN
    if "cannot be reached: " in error.detail:
        return _UNREACHABLE
    if error.code == "unavailable":
        # Of a driver, so this program asked the database itself, and no service did.
        return _READYZ if error.__cause__ is None else _DATABASE
    return _CURES.get(error.code, "")
