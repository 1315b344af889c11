-- The same conditions as before, without a repetition by number: PostgreSQL takes 25 us to match 64
-- characters to [0-9a-f]{64}, which was half of what it took to write a row of blobs, and 2 us to
-- find none that is anything else.
--
-- NOT VALID: what is there has passed the old condition, so that no table is read. In the order in
-- which the service writes to them.

ALTER DOMAIN ulid DROP CONSTRAINT ulid_check;
ALTER DOMAIN ulid ADD CONSTRAINT ulid_check
    CHECK (length(VALUE) = 26 AND VALUE ~ '^[0-7][0-9A-HJKMNP-TV-Z]*$') NOT VALID;

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY[
        'blobs', 'staged_artifacts', 'manifests', 'package_files', 'index_blocks', 'index_layouts',
        'index_files', 'release_files']
    LOOP
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', v_table, v_table || '_sha256_check');
        EXECUTE format(
            'ALTER TABLE %I ADD CONSTRAINT %I'
            ' CHECK (length(sha256) = 64 AND sha256 !~ ''[^0-9a-f]'') NOT VALID',
            v_table, v_table || '_sha256_check');
    END LOOP;
END $$;

ALTER TABLE staging_events DROP CONSTRAINT staging_events_digest_check;
ALTER TABLE staging_events ADD CONSTRAINT staging_events_digest_check
    CHECK (length(digest) = 64 AND digest !~ '[^0-9a-f]') NOT VALID;
