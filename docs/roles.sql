-- The roles of the service; run once as a superuser in its database, before the first migration. Run
-- again it changes only what is missing. Give the roles that log in a password of your own, or a certificate.
--
--   psql -v ON_ERROR_STOP=1 -d staging -f docs/roles.sql

DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['staging_owner', 'staging_app', 'staging_backup']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', v_role);
        END IF;
    END LOOP;
    -- For people to be members of; migrations give it what it may read.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'staging_audit') THEN
        CREATE ROLE staging_audit NOLOGIN;
    END IF;
    EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO staging_owner', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO staging_app, staging_audit, staging_backup', current_database());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;

-- Migrations run as staging_owner, so it owns every table.
GRANT USAGE, CREATE ON SCHEMA public TO staging_owner;
GRANT USAGE ON SCHEMA public TO staging_app, staging_backup;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- What is there already, and what migrations will add.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO staging_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO staging_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO staging_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO staging_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE staging_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO staging_app;
ALTER DEFAULT PRIVILEGES FOR ROLE staging_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO staging_app;
ALTER DEFAULT PRIVILEGES FOR ROLE staging_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO staging_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE staging_owner IN SCHEMA public
    GRANT SELECT ON SEQUENCES TO staging_backup;

-- At the role, so that they hold behind a pooler in transaction mode too. Migrations may take longer.
ALTER ROLE staging_app SET statement_timeout = '30s';
ALTER ROLE staging_app SET lock_timeout = '10s';
ALTER ROLE staging_app SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE staging_owner SET lock_timeout = '10s';
