-- The role of auditors: may read every table but the kept answers, and change nothing.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'staging_audit') THEN
        CREATE ROLE staging_audit NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this server is migrated at the same moment
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the role staging_audit is for an administrator to make: see docs/audit.md';
END $$;

-- What the role may do; for the tables of this moment and those that this owner adds later.
CREATE FUNCTION staging_grant_audit() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO staging_audit', current_schema());
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO staging_audit', current_schema());
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO staging_audit',
        current_schema());
    -- Whole answers, as they were sent.
    REVOKE ALL ON idempotency_keys FROM staging_audit;
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'staging_audit') THEN
        PERFORM staging_grant_audit();
    END IF;
END $$;
