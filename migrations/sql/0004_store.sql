-- How full the store is: each statement that adds or removes blobs writes one line, so that nobody
-- waits for a common counter; store_ledger_compact() sums the lines up.
CREATE FUNCTION blobs_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO store_ledger (bytes)
    SELECT sum(size_bytes) FROM changed HAVING sum(size_bytes) > 0;
    RETURN NULL;
END $$;

CREATE FUNCTION blobs_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO store_ledger (bytes)
    SELECT -sum(size_bytes) FROM changed HAVING sum(size_bytes) > 0;
    RETURN NULL;
END $$;

CREATE TRIGGER blobs_added AFTER INSERT ON blobs
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION blobs_added();

CREATE TRIGGER blobs_removed AFTER DELETE ON blobs
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION blobs_removed();

INSERT INTO store_ledger (bytes)
SELECT sum(size_bytes) FROM blobs HAVING sum(size_bytes) > 0;

-- Whoever reads meanwhile sees either the lines or their sum; who adds one is not waited for.
CREATE FUNCTION store_ledger_compact() RETURNS void LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM store_ledger RETURNING bytes)
    INSERT INTO store_ledger (bytes) SELECT sum(bytes) FROM gone HAVING count(*) > 0
$$;

-- What is promised to artifacts whose lock is held just now.
CREATE FUNCTION store_reserved_bytes() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(r.bytes), 0)::bigint
    FROM store_reservations r
    JOIN lock_scopes s ON s.kind = r.kind AND s.scope = r.scope
        AND s.lock_id = r.lock_id AND s.fence = r.fence AND s.expires_at > clock_timestamp()
$$;

-- Promises space to an artifact, in all p_bytes, unless that is more than the quota allows. Gives
-- the bytes that are lacking: 0, and it is promised. One after the other, until each commits.
CREATE FUNCTION store_reserve(
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

-- What is staged, failed or given up needs no promise any more: what it wrote counts by itself.
CREATE FUNCTION staged_artifacts_settle_space() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM store_reservations WHERE artifact_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER staged_artifacts_settle_space AFTER UPDATE ON staged_artifacts FOR EACH ROW
WHEN (OLD.state = 'staging' AND NEW.state <> 'staging')
EXECUTE FUNCTION staged_artifacts_settle_space();
