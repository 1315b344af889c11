-- Rows that no version of the service writes are refused, by whatever hand they come.
--
-- NOT VALID where a table may be big: this step locks it, and to read it would take as long as it is. What
-- is there was written under these rules. No condition compares two moments, so a clock that was set back
-- stops nothing; and none is on a table of the lock, whose rows are written most often (db/schema.py).
--
-- In the order in which the service writes to them.

ALTER TABLE idempotency_keys
    ADD CONSTRAINT idempotency_keys_response_check CHECK (status BETWEEN 100 AND 599 AND
        length(request_sha256) = 64 AND request_sha256 !~ '[^0-9a-f]') NOT VALID;

ALTER TABLE stagings
    ADD CONSTRAINT stagings_request_check CHECK (cardinality(requested) > 0 AND attempt >= 0 AND
        (lock_id IS NULL) = (fence IS NULL)) NOT VALID,
    ADD CONSTRAINT stagings_joined_check CHECK ((joined IS NULL) = (joined_by IS NULL)) NOT VALID,
    ADD CONSTRAINT stagings_outcome_check CHECK ((state NOT IN ('foreground_staged', 'staged') OR
        foreground_staged_at IS NOT NULL) AND (state <> 'staged' OR error_code IS NULL) AND (finished_at
        IS NOT NULL OR artifact_ids IS NULL) AND (error_code IS NOT NULL OR num_nonnulls(error_message,
        error_retryable) = 0)) NOT VALID,
    ADD CONSTRAINT stagings_upload_wait_check CHECK (upload_wait_seconds >= 0 AND CASE WHEN
        upload_wait_began_at IS NULL THEN num_nonnulls(upload_wait_ended_at, waiting_for) = 0 ELSE
        num_nonnulls(upload_wait_ended_at, waiting_for) = 1 END) NOT VALID,
    ADD CONSTRAINT stagings_events_check CHECK (events_dropped BETWEEN 0 AND events_count AND
        (events_count = 0) = (events_digest IS NULL)) NOT VALID;

ALTER TABLE staged_artifacts
    ADD CONSTRAINT staged_artifacts_attempt_check CHECK (attempt >= 0 AND bytes_total >= 0 AND (lock_id
        IS NULL OR fence IS NOT NULL)) NOT VALID,
    ADD CONSTRAINT staged_artifacts_outcome_check CHECK ((state <> 'staged' OR staged_at IS NOT NULL) AND
        (staged_at IS NULL OR state IN ('staged', 'evicted')) AND (evict_reason IS NULL OR state =
        'evicted') AND (state <> 'staged' OR error_code IS NULL) AND (error_code IS NOT NULL OR num_nonnulls(error_message, error_retryable) = 0)) NOT
        VALID;

ALTER TABLE upload_polls
    ADD CONSTRAINT upload_polls_polls_check CHECK (polls >= 1 AND (polled_at IS NULL) = (names IS NULL));

ALTER TABLE artifact_accesses
    ADD CONSTRAINT artifact_accesses_numbers_check CHECK (hits >= 0 AND bytes >= 0) NOT VALID;

ALTER TABLE blobs
    ADD CONSTRAINT blobs_removal_check CHECK (size_bytes >= 0 AND removal_failures >= 0 AND (doomed_at
        IS NOT NULL OR removing_until IS NULL AND removal_failures = 0)) NOT VALID;

ALTER TABLE loose_files
    ADD CONSTRAINT loose_files_size_check CHECK (size_bytes >= 0) NOT VALID;

ALTER TABLE held_objects
    ADD CONSTRAINT held_objects_size_check CHECK (size_bytes >= 0) NOT VALID;

ALTER TABLE staging_event_drops
    ADD CONSTRAINT staging_event_drops_events_check CHECK (events > 0);

ALTER TABLE store_checks
    ADD CONSTRAINT store_checks_found_check CHECK (num_nulls(checked_at, files, bytes, lost, strangers)
        IN (0, 5) AND least(files, bytes, lost, strangers) >= 0);

ALTER TABLE store_prunes
    ADD CONSTRAINT store_prunes_numbers_check CHECK (least(keep_bytes, frees_bytes, evicted) >= 0);

ALTER TABLE store_usage
    ADD CONSTRAINT store_usage_numbers_check CHECK (least(blobs, bytes, files, file_bytes) >= 0);

ALTER TABLE store_largest
    ADD CONSTRAINT store_largest_numbers_check CHECK (place >= 1 AND artifacts >= 1 AND bytes >= 0);

ALTER TABLE suites
    ADD CONSTRAINT suites_codename_check CHECK (codename ~ '^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,127}$');

ALTER TABLE components
    ADD CONSTRAINT components_position_check CHECK (position >= 0);

ALTER TABLE package_files
    ADD CONSTRAINT package_files_size_check CHECK (size_bytes >= 0) NOT VALID;

ALTER TABLE source_release_files
    ADD CONSTRAINT source_release_files_position_check CHECK (position >= 0) NOT VALID;

ALTER TABLE uploads
    ADD CONSTRAINT uploads_decided_check CHECK ((decided_at IS NULL) = (decided_by IS NULL) AND
        (decided_at IS NULL OR NOT state IN ('new', 'unapproved'))) NOT VALID,
    ADD CONSTRAINT uploads_failures_check CHECK (attempts >= 0 AND (error_code IS NULL OR error_message
        IS NOT NULL)) NOT VALID;

ALTER TABLE package_publications
    ADD CONSTRAINT package_publications_listed_check CHECK (listed_in >= 1 AND (delisted_in IS NULL OR
        ended_at IS NOT NULL AND delisted_in >= coalesce(listed_in, 1))) NOT VALID,
    ADD CONSTRAINT package_publications_removed_is_settled_check CHECK (removed_at IS NULL OR
        unlisted_since IS NULL) NOT VALID,
    ADD CONSTRAINT package_publications_was_published_check CHECK (superseded_by <> id AND
        (num_nulls(superseded_by, listed_in) = 2 OR published_at IS NOT NULL)) NOT VALID,
    ADD CONSTRAINT package_publications_only_deleted_says_why_check CHECK (state = 'deleted' OR
        num_nonnulls(deleted_by, reason) = 0) NOT VALID;

ALTER TABLE publisher_runs
    ADD CONSTRAINT publisher_runs_without_error_check CHECK (state NOT IN ('running', 'succeeded') OR
        num_nonnulls(error_code, error_message) = 0) NOT VALID,
    ADD CONSTRAINT publisher_runs_items_check CHECK (items_done >= 0 AND items_total >= 0) NOT VALID;

ALTER TABLE run_phases
    ADD CONSTRAINT run_phases_position_check CHECK (position >= 0) NOT VALID;

ALTER TABLE hook_runs
    ADD CONSTRAINT hook_runs_ended_check CHECK (seconds >= 0 AND NOT (timed_out AND exit_code IS NOT
        NULL)) NOT VALID;

ALTER TABLE index_blocks
    ADD CONSTRAINT index_blocks_sizes_check CHECK (entries > 0 AND plain_bytes > 0) NOT VALID;

ALTER TABLE dists_generations
    ADD CONSTRAINT dists_generations_pinned_says_who_check CHECK ((pinned_at IS NULL) = (pinned_by IS
        NULL)),
    DROP CONSTRAINT dists_generations_content_check,
    ADD CONSTRAINT dists_generations_content_check CHECK (content_number BETWEEN 1 AND number);

ALTER TABLE suite_holds
    ADD CONSTRAINT suite_holds_content_check CHECK (content_number >= 1);

ALTER TABLE generation_holds
    ADD CONSTRAINT generation_holds_content_check CHECK (content_number >= 1);

ALTER TABLE index_files
    ADD CONSTRAINT index_files_sizes_check CHECK (first_number >= 1 AND size_bytes >= 0) NOT VALID;

ALTER TABLE release_files
    ADD CONSTRAINT release_files_signed_check CHECK (first_number >= 1 AND (name = 'Release' OR
        signed_by <> '')) NOT VALID;

ALTER TABLE lasting_releases
    ADD CONSTRAINT lasting_releases_signed_check CHECK (name = 'Release' OR signed_by <> '');

ALTER TABLE document_contents
    ADD CONSTRAINT document_contents_sizes_check CHECK (documents_count >= 0 AND size_bytes >= 0);

ALTER TABLE document_bodies
    ADD CONSTRAINT document_bodies_position_check CHECK (position >= 0) NOT VALID,
    DROP CONSTRAINT document_bodies_encrypted_is_sealed_check,
    ADD CONSTRAINT document_bodies_encrypted_is_sealed_check
        CHECK ((storage_policy = 'encrypted') = (sealed IS NOT NULL)) NOT VALID;

ALTER TABLE document_revisions
    ADD CONSTRAINT document_revisions_made_of_check CHECK (CASE WHEN kind IN ('posted', 'emptied') THEN
        collection_id IS NOT NULL AND copied_from IS NULL WHEN kind = 'replaced' THEN
        num_nulls(collection_id, copied_from) = 0 WHEN kind = 'discarded' THEN num_nulls(collection_id,
        copied_from) = 1 ELSE collection_id IS NULL AND copied_from IS NOT NULL END) NOT VALID,
    DROP CONSTRAINT document_revisions_copied_from_check,
    ADD CONSTRAINT document_revisions_copied_from_check CHECK (copied_from BETWEEN 0 AND number - 1) NOT
        VALID;

ALTER TABLE document_events
    ADD CONSTRAINT document_events_number_check CHECK (number >= 1) NOT VALID;

-- The checks of one row cannot see another one. The generations of an archive are few.
ALTER TABLE dists_generations
    ADD CONSTRAINT dists_generations_archive_id_id_key UNIQUE (archive_id, id);

ALTER TABLE distributions
    DROP CONSTRAINT distributions_live_generation_id_fkey,
    DROP CONSTRAINT distributions_head_generation_id_fkey,
    ADD CONSTRAINT distributions_live_generation_id_fkey FOREIGN KEY (archive_id, live_generation_id)
        REFERENCES dists_generations (archive_id, id),
    ADD CONSTRAINT distributions_head_generation_id_fkey FOREIGN KEY (archive_id, head_generation_id)
        REFERENCES dists_generations (archive_id, id);

ALTER TABLE components ADD CONSTRAINT components_suite_id_position_key UNIQUE (suite_id, position);

ALTER TABLE package_publications
    ADD CONSTRAINT package_publications_superseded_by_fkey FOREIGN KEY (superseded_by)
        REFERENCES package_publications (id) NOT VALID;

CREATE UNIQUE INDEX document_commits_one_unconfirmed_key ON document_commits ((true))
    WHERE confirm_until IS NOT NULL AND confirmed_at IS NULL AND undone_in IS NULL;

-- Called, or read, by none but versions more than one step back.
DROP FUNCTION stagings_by_id;
DROP FUNCTION staging_newest;
DROP VIEW stagings_told;
DROP FUNCTION lock_renew;
DROP TRIGGER staged_files_change ON staged_files;
DROP FUNCTION staged_files_change;
DROP INDEX stagings_turn_idx;
