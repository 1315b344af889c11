-- Keys are for the service only. A grant for all tables may have given them to auditors.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'staging_audit') THEN
        REVOKE ALL ON document_keys, session_keys FROM staging_audit;
    END IF;
END $$;
