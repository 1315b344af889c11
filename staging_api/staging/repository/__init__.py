"""The rows of stagings and staged artifacts: every statement that reads or writes them."""

from staging_api.staging.repository.access_rows import note_accesses, note_hand_out
from staging_api.staging.repository.archive_rows import archives_named, list_archives
from staging_api.staging.repository.artifact_rows import (
    begin_artifact,
    is_evictable,
    is_pinned,
    leave_to_patient,
    lock_archive,
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
from staging_api.staging.repository.check_rows import (
    check_again,
    claim_scrub,
    claim_shard,
    longest_unchecked,
    lost_count,
    lost_of,
    note_check,
    note_lost,
    note_scrubbed,
    note_there,
)
from staging_api.staging.repository.count_rows import (
    CountedState,
    count_minutes,
    counts_between,
    unfinished,
)
from staging_api.staging.repository.events import (
    act_as,
    chains,
    contradictions,
    drop_events,
    events_after,
    events_of,
    extend_events,
)
from staging_api.staging.repository.file_rows import add_files, add_pack, forget_some_files
from staging_api.staging.repository.files import (
    BuildFolder,
    EntryState,
    FoundFile,
    builds_below,
    files_below,
    files_of,
    folder_of,
    newest_of_each,
    outcomes,
    outcomes_at,
)
from staging_api.staging.repository.folders import children_of, served_below
from staging_api.staging.repository.growth_rows import (
    IncomingFile,
    end_growth,
    incoming_file,
    note_growth,
)
from staging_api.staging.repository.lists import list_artifacts, list_stagings
from staging_api.staging.repository.object_rows import cached_object, remember_objects
from staging_api.staging.repository.pack_rows import (
    add_packed_files,
    drop_pack,
    dropped_packs,
    forget_packed,
    insert_pack,
)
from staging_api.staging.repository.prune_rows import (
    add_prune,
    begin_prune,
    end_prune,
    find_prune,
    list_prunes,
)
from staging_api.staging.repository.reading import (
    DueStaging,
    artifacts_of,
    bringer,
    due,
    files_served,
    find,
    find_artifact,
    foreground_is_due,
    known_blobs,
    newest_for,
    prefix_of,
    queue,
    served_file,
    to_do,
    unfinished_for,
    versions,
)
from staging_api.staging.repository.seen import answer_rows, standing_answers
from staging_api.staging.repository.space_rows import (
    EvictableArtifact,
    EvictionShare,
    StoreSpace,
    compact_ledger,
    forget_dead_reservations,
    idle_artifacts,
    release_upload,
    reserve,
    reserve_upload,
    shares,
    space,
)
from staging_api.staging.repository.staging_rows import (
    add_staging,
    begin_staging,
    cancel_is_requested,
    lock_stagings,
    mark_cancelled,
    note_joined,
    request_cancel,
    settle,
    touch,
)
from staging_api.staging.repository.store_rows import (
    adopt_orphans,
    artifacts_with,
    blobs_of,
    claim_marked,
    forget_blobs,
    keep_store_id,
    mark_unnamed_for_deletion,
    name_blobs,
    packs_are_written,
    put_back,
    put_off_removal,
    renew_claim,
    some_blobs,
    store_id,
    unnamed_of,
)
from staging_api.staging.repository.terms import database_time
from staging_api.staging.repository.upload_rows import (
    begin_upload_wait,
    claim_poll,
    end_upload_wait,
    forget_polls,
    keep_manifest,
    kept_manifest,
    newest_poll,
    note_poll,
    put_off,
)
from staging_api.staging.repository.usage_rows import (
    checks,
    count_usage,
    idle_of,
    idlest,
    largest_archives,
    usage,
)
