-- Applies to the present tables and to those that this owner adds later.
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
COMMENT ON FUNCTION staging_grant_audit IS 'Grants the role staging_audit what auditors may read.';
