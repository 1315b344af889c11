-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION staging_grant_audit() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO staging_audit', current_schema());
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO staging_audit', current_schema());
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO staging_audit',
        current_schema());
    -- Whole responses, which are for their callers only; and keys, which are for the service only.
    REVOKE ALL ON idempotency_keys, document_keys, session_keys FROM staging_audit;
END $$;
