-- The scope cannot change hands before the end of the transaction, because that needs the row FOR
-- UPDATE. Several guarded writes may be open at once under one lease, which is renewed beside them,
-- so the lease can outlive a long write. The holder may freeze before its COMMIT, or write for too
-- long; then the server ends the transaction, which limits how long the scope is blocked.
CREATE OR REPLACE FUNCTION lock_guard(p_kind text, p_scope text, p_id text, p_fence bigint)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_expires_at timestamptz;
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '4s', true);
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM set_config('transaction_timeout', '15s', true);
    END IF;
    SELECT s.expires_at INTO v_expires_at FROM lock_scopes s
    WHERE s.kind = p_kind AND s.scope = p_scope AND s.lock_id = p_id AND s.fence = p_fence
    FOR KEY SHARE;
    RETURN coalesce(v_expires_at > clock_timestamp(), false);
END $$;
COMMENT ON FUNCTION lock_guard IS
    'Whether the lease is current and unexpired; if so, it cannot change hands before this transaction ends.';

-- The guard as a statement that raises, so that a write may follow in the same message. It also adds
-- the lock to those of the transaction, for the triggers that record who changed what.
CREATE OR REPLACE FUNCTION lock_guard_write(p_kind text, p_scope text, p_id text, p_fence bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NOT lock_guard(p_kind, p_scope, p_id, p_fence) THEN
        RAISE EXCEPTION 'the % lock on % is no longer held', p_kind, p_scope USING ERRCODE = 'SA001';
    END IF;
    PERFORM set_config('staging.locks', concat_ws(
        ' ', nullif(current_setting('staging.locks', true), ''), p_id), true);
END $$;
COMMENT ON FUNCTION lock_guard_write IS
    'Raises SA001 unless the lease is current and unexpired; otherwise this transaction may write under it.';

CREATE OR REPLACE FUNCTION lock_scopes_change_hands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM lock_scopes s WHERE s.kind = OLD.kind AND s.scope = OLD.scope FOR UPDATE;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION lock_scopes_change_hands IS
    'Makes every change of holder wait for the guarded writes under the lease.';

CREATE OR REPLACE TRIGGER lock_scopes_change_hands BEFORE UPDATE ON lock_scopes FOR EACH ROW
WHEN (OLD.lock_id IS NOT NULL
    AND (OLD.lock_id IS DISTINCT FROM NEW.lock_id OR OLD.fence <> NEW.fence))
EXECUTE FUNCTION lock_scopes_change_hands();
ALTER TABLE lock_scopes ENABLE ALWAYS TRIGGER lock_scopes_change_hands;
