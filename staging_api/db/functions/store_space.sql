-- Used space of the store: each statement that adds or removes blobs inserts one line into
-- store_ledger, so that no transaction waits for a common counter; store_ledger_compact() sums the
-- lines up.

CREATE OR REPLACE FUNCTION blobs_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO store_ledger (bytes)
    SELECT sum(size_bytes) FROM changed HAVING sum(size_bytes) > 0;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION blobs_added IS
    'Writes the size of the blobs that a statement added to the ledger.';

CREATE OR REPLACE TRIGGER blobs_added AFTER INSERT ON blobs
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION blobs_added();

CREATE OR REPLACE FUNCTION blobs_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO store_ledger (bytes)
    SELECT -sum(size_bytes) FROM changed HAVING sum(size_bytes) > 0;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION blobs_removed IS
    'Writes the size of the blobs that a statement removed to the ledger.';

CREATE OR REPLACE TRIGGER blobs_removed AFTER DELETE ON blobs
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION blobs_removed();

-- A file without a row is adopted with its present length; complete bytes may replace it.
CREATE OR REPLACE FUNCTION blobs_resized() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO store_ledger (bytes) VALUES (NEW.size_bytes - OLD.size_bytes);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION blobs_resized IS 'Writes the change of the size of a blob to the ledger.';

CREATE OR REPLACE TRIGGER blobs_resized AFTER UPDATE ON blobs FOR EACH ROW
WHEN (OLD.size_bytes <> NEW.size_bytes)
EXECUTE FUNCTION blobs_resized();

-- A concurrent reader sees either the lines or their sum, and a concurrent writer is not waited
-- for.
CREATE OR REPLACE FUNCTION store_ledger_compact() RETURNS void LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM store_ledger RETURNING bytes)
    INSERT INTO store_ledger (bytes) SELECT sum(bytes) FROM gone HAVING count(*) > 0
$$;
COMMENT ON FUNCTION store_ledger_compact IS 'Replaces the lines of the ledger by their sum.';

CREATE OR REPLACE FUNCTION store_reserved_bytes() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (SELECT coalesce(sum(r.bytes), 0)::bigint
            FROM store_reservations r
            JOIN lock_scopes s ON s.kind = r.kind AND s.scope = r.scope
                AND s.lock_id = r.lock_id AND s.fence = r.fence
                AND s.expires_at > clock_timestamp())
        + (SELECT coalesce(sum(bytes), 0)::bigint
            FROM upload_reservations WHERE expires_at > clock_timestamp())
$$;
COMMENT ON FUNCTION store_reserved_bytes IS
    'The bytes reserved for artifacts whose lock is held now, and for uploads that still arrive.';

-- Reservations are made one after the other, each until its commit.
CREATE OR REPLACE FUNCTION store_reserve(
    p_artifact_id text, p_kind text, p_scope text, p_lock_id text, p_fence bigint,
    p_bytes bigint, p_quota bigint)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_lacking bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('staging_api store_reserve', 0));
    DELETE FROM store_reservations WHERE artifact_id = p_artifact_id;
    SELECT p_bytes + store_reserved_bytes() + coalesce(sum(bytes), 0) - p_quota INTO v_lacking
    FROM store_ledger;
    IF v_lacking > 0 THEN
        RETURN v_lacking;
    END IF;
    INSERT INTO store_reservations (artifact_id, bytes, kind, scope, lock_id, fence)
    VALUES (p_artifact_id, p_bytes, p_kind, p_scope, p_lock_id, p_fence);
    RETURN 0;
END $$;
COMMENT ON FUNCTION store_reserve IS
    'Reserves p_bytes for an artifact, unless the quota is too small; returns the bytes that lack, or 0.';

-- An upload holds no lock: its reservation ends at its time.
CREATE OR REPLACE FUNCTION store_reserve_upload(
    p_id text, p_bytes bigint, p_quota bigint, p_seconds double precision)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_lacking bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('staging_api store_reserve', 0));
    DELETE FROM upload_reservations WHERE id = p_id OR expires_at <= clock_timestamp();
    SELECT p_bytes + store_reserved_bytes() + coalesce(sum(bytes), 0) - p_quota INTO v_lacking
    FROM store_ledger;
    IF v_lacking > 0 THEN
        RETURN v_lacking;
    END IF;
    INSERT INTO upload_reservations (id, bytes, expires_at)
    VALUES (p_id, p_bytes, clock_timestamp() + make_interval(secs => p_seconds));
    RETURN 0;
END $$;
COMMENT ON FUNCTION store_reserve_upload IS
    'Reserves p_bytes for an upload for p_seconds, as store_reserve; returns the bytes that lack, or 0.';

-- An artifact that is staged, failed or given up needs no reservation: its bytes are in the ledger.
CREATE OR REPLACE FUNCTION staged_artifacts_settle_space() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM store_reservations WHERE artifact_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION staged_artifacts_settle_space IS
    'Deletes the reservation of an artifact that is no longer being staged.';

CREATE OR REPLACE TRIGGER staged_artifacts_settle_space AFTER UPDATE ON staged_artifacts FOR EACH ROW
WHEN (OLD.state = 'staging' AND NEW.state <> 'staging')
EXECUTE FUNCTION staged_artifacts_settle_space();
