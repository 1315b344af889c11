-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

COMMENT ON COLUMN blob_names.sha256 IS 'of the content';

COMMENT ON FUNCTION blobs_spared IS 'Refuses to keep a blob whose bytes are being removed.';

COMMENT ON FUNCTION document_event_text IS 'The text whose digest an event has.';

COMMENT ON FUNCTION document_event_append IS
    'Adds an event at the end of the chain, and fills in its number, time and digest.';

COMMENT ON FUNCTION document_revisions_tell IS 'Writes the event of a new revision.';

COMMENT ON FUNCTION document_commits_tell IS
    'Writes the event of a commit, of its confirmation or of its being undone.';

COMMENT ON FUNCTION document_tags_tell IS
    'Writes the event of a tag that was set, changed or deleted.';

COMMENT ON FUNCTION document_history_refuse IS
    'Refuses every change of a row of an append-only table.';

COMMENT ON FUNCTION document_ranges_check IS
    'Lets a range begin only in the newest revision, and end there once.';

COMMENT ON FUNCTION lock_take_up IS
    'Extends the lease that the caller has already: an earlier answer was lost, or a release gave it.';

COMMENT ON FUNCTION lock_acquire IS
    'Grants a free scope to its first waiter, else to the caller; refuses a held one after one read.';

COMMENT ON FUNCTION lock_expire IS
    'Writes the outcome of every lease that ran out and that no grant has superseded; returns how many.';

COMMENT ON FUNCTION lock_forget_scopes IS
    'Deletes scopes that have no holder and had no grant for p_unused; returns how many.';

COMMENT ON FUNCTION lock_timeline_fence IS 'The lowest fence of the present WAL timeline.';

COMMENT ON FUNCTION lock_next_fence IS 'The fence of the grant that follows one with this fence.';

COMMENT ON FUNCTION lock_birth_fence IS 'The fence with which the row of a scope is inserted.';

COMMENT ON FUNCTION lock_guard IS
    'Whether the lease is current and unexpired; if so, it cannot change hands before this transaction ends.';

COMMENT ON FUNCTION lock_scopes_change_hands IS
    'Makes every change of holder wait for the guarded writes under the lease.';

COMMENT ON FUNCTION lock_history_extend IS
    'Makes the missing partitions of api_locks for this month and the next p_ahead ones.';

COMMENT ON FUNCTION lock_history_drop IS
    'Drops the months of api_locks that ended before p_before, and returns their names.';

COMMENT ON FUNCTION lock_history_whole_until IS
    'Until when the history is whole: no grant that becomes visible later was made before that time.';

COMMENT ON VIEW lock_waiters_alive IS
    'Waiters whose deadline is in the future and that asked in the last 6 s.';

COMMENT ON FUNCTION lock_wait IS 'Takes or keeps a place in the queue of a scope.';

COMMENT ON FUNCTION lock_leave IS 'Gives up a place in the queue.';

COMMENT ON FUNCTION lock_end IS
    'Writes the outcome of a grant to the history, unless it has one: each grant has exactly one outcome.';

COMMENT ON FUNCTION lock_vacate IS
    'Takes the holder out of a scope whose row the caller has locked.';

COMMENT ON FUNCTION lock_release IS
    'Ends a lease by its holder, hands the scope to the first waiter, and returns how the lease ended.';

COMMENT ON FUNCTION lock_break IS
    'Ends a lease by force, and raises the fence so that its holder''s writes are refused from now on.';

COMMENT ON FUNCTION lock_extend IS
    'Extends all current leases of a process in one statement, and returns what is left of each.';

COMMENT ON FUNCTION lock_renew IS
    'lock_extend for the version before, which takes a lease that was not extended for one that was.';

COMMENT ON FUNCTION publisher_accept_one IS
    'Turns one accepted upload into a pending publication of its package.';

COMMENT ON FUNCTION publisher_accept IS
    'Turns accepted uploads into pending publications; returns those that failed, and why.';

COMMENT ON FUNCTION publisher_path_keeps_bytes IS
    'Leaves out a file whose path has other bytes, or had other bytes that were published.';

COMMENT ON FUNCTION publisher_generation_keeps_holds IS
    'Refuses a live generation that does not show the held suites as their holds say.';

COMMENT ON FUNCTION publisher_hold_keeps_packages IS
    'Keeps a package in the pool while a hold makes a kept generation list it.';

COMMENT ON FUNCTION publisher_look_again IS
    'Marks the suite of a Release for a full rebuild.';

COMMENT ON FUNCTION staging_grant_audit IS 'Grants the role staging_audit what auditors may read.';

COMMENT ON FUNCTION staging_events_partition IS 'Makes one partition of staging_events.';

COMMENT ON FUNCTION staging_events_extend IS
    'Makes the missing partitions of staging_events for this month and the next p_ahead ones.';

COMMENT ON FUNCTION staging_events_drop IS
    'Drops the months of events that lie wholly before p_before; returns the number of events.';

COMMENT ON FUNCTION staging_event_text IS 'The text whose digest an event has.';

COMMENT ON FUNCTION staging_event_digest IS 'The SHA-256 of the text of an event, in hex.';

COMMENT ON FUNCTION staging_event_append IS
    'Adds an event at the end of the chain of its staging, and fills in its number, time, actor and digest.';

COMMENT ON FUNCTION stagings_tell IS
    'Writes the event of a staging that is new, changed its state or was asked to stop.';

COMMENT ON FUNCTION staged_artifacts_tell IS
    'Writes the event of an artifact that is new, changed its state, was attempted again or was pinned.';

COMMENT ON FUNCTION staging_events_refuse IS
    'Refuses every change of an event, on every partition: the table is append-only.';

COMMENT ON FUNCTION staging_failure IS
    'How an artifact failed for a staging, in the form of stagings.failures.';

COMMENT ON FUNCTION staged_artifacts_versioned IS
    'Raises the version of an artifact with each change but that of the time of the last read.';

COMMENT ON FUNCTION staged_artifacts_owned IS
    'Refuses an artifact that is to do and belongs to a finished staging.';

COMMENT ON FUNCTION staged_artifacts_verdict IS
    'Writes a failure of an artifact to each unfinished staging that asked for it.';

COMMENT ON FUNCTION stagings_kept IS 'Keeps what a staging ends with, and raises its version.';

COMMENT ON FUNCTION staging_carry IS
    'Makes a staging for what other callers left to a cancelled one; null: nothing is left to do.';

COMMENT ON FUNCTION staging_hand_over IS
    'Gives what a finished staging leaves to do to another staging, or fails it.';

COMMENT ON FUNCTION stagings_hand_over IS 'Calls staging_hand_over for a staging that ends.';

COMMENT ON FUNCTION stagings_show IS
    'The stagings with these ids, in this order, each with its artifacts.';

COMMENT ON FUNCTION stagings_show_newest IS
    'The newest staging of an archive that asked for any of these artifacts, with its artifacts.';

COMMENT ON FUNCTION artifact_outcomes IS
    'The states of these artifacts of an archive, of those that have a row and are not evicted.';

COMMENT ON FUNCTION blobs_added IS
    'Writes the size of the blobs that a statement added to the ledger.';

COMMENT ON FUNCTION blobs_removed IS
    'Writes the size of the blobs that a statement removed to the ledger.';

COMMENT ON FUNCTION blobs_resized IS 'Writes the change of the size of a blob to the ledger.';

COMMENT ON FUNCTION store_ledger_compact IS 'Replaces the lines of the ledger by their sum.';

COMMENT ON FUNCTION store_reserved_bytes IS
    'The bytes reserved for artifacts whose lock is held now.';

COMMENT ON FUNCTION store_reserve IS
    'Reserves p_bytes for an artifact, unless the quota is too small; returns the bytes that lack, or 0.';

COMMENT ON FUNCTION staged_artifacts_settle_space IS
    'Deletes the reservation of an artifact that is no longer being staged.';

COMMENT ON FUNCTION ulid_floor IS
    'The lowest ULID of a time: ten digits of Crockford''s base 32, in milliseconds, then zeros.';

COMMENT ON FUNCTION ulid_of IS
    'A new ULID of a time: its first ten digits are the time, the others are random.';

COMMENT ON FUNCTION stagings_by_id IS 'What stagings_show is now, of the artifacts that there are.';

COMMENT ON FUNCTION staging_newest IS
    'What stagings_show_newest is now, of the artifacts that there are.';
