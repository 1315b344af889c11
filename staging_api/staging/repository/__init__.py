"""The rows of stagings and staged artifacts: every statement that reads or writes them."""

from staging_api.staging.repository.artifact_rows import (
    begin_artifact,
    is_pinned,
    mark_evicted,
    mark_failed,
    mark_missing,
    mark_pending,
    mark_staged,
    note_progress,
    pin,
    plan_artifact,
    static_prefix,
)
from staging_api.staging.repository.events import act_as, chains, contradictions, events_of
from staging_api.staging.repository.files import (
    BuildFolder,
    FoundFile,
    builds_below,
    files_below,
    folder_of,
    newest_of_each,
    outcomes,
)
from staging_api.staging.repository.reading import (
    artifacts_of,
    due,
    find,
    find_artifact,
    known_blobs,
    list_artifacts,
    list_stagings,
    newest_for,
    prefix_of,
    served_file,
    to_do,
    unfinished_for,
    versions,
)
from staging_api.staging.repository.staging_rows import (
    add_staging,
    begin_staging,
    cancel_is_requested,
    mark_cancelled,
    request_cancel,
    settle,
    touch,
)
from staging_api.staging.repository.upload_rows import (
    begin_upload_wait,
    claim_poll,
    end_upload_wait,
    forget_polls,
    newest_poll,
    note_poll,
    put_off,
)

__all__ = [
    "BuildFolder",
    "FoundFile",
    "act_as",
    "add_staging",
    "artifacts_of",
    "begin_artifact",
    "begin_staging",
<<<<<<< HEAD
    "begin_upload_wait",
=======
    "builds_below",
>>>>>>> a7aefda70bea4279de4655f4b1ce9e1719501310
    "cancel_is_requested",
    "chains",
    "claim_poll",
    "contradictions",
    "due",
    "end_upload_wait",
    "events_of",
    "files_below",
    "find",
    "find_artifact",
<<<<<<< HEAD
    "forget_polls",
=======
    "folder_of",
>>>>>>> a7aefda70bea4279de4655f4b1ce9e1719501310
    "is_pinned",
    "known_blobs",
    "list_artifacts",
    "list_stagings",
    "mark_cancelled",
    "mark_evicted",
    "mark_failed",
    "mark_missing",
    "mark_pending",
    "mark_staged",
    "newest_for",
<<<<<<< HEAD
    "newest_poll",
    "note_poll",
=======
    "newest_of_each",
>>>>>>> a7aefda70bea4279de4655f4b1ce9e1719501310
    "note_progress",
    "outcomes",
    "pin",
    "plan_artifact",
    "prefix_of",
    "put_off",
    "request_cancel",
    "served_file",
    "settle",
    "static_prefix",
    "to_do",
    "touch",
    "unfinished_for",
    "versions",
]
