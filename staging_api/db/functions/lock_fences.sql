-- The lowest fence rises at each promotion of a standby: so the fence of a grant that an
-- asynchronous standby never received is not given out again.
CREATE OR REPLACE FUNCTION lock_timeline_fence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint << 44
$$;
COMMENT ON FUNCTION lock_timeline_fence IS 'The lowest fence of the present WAL timeline.';

CREATE OR REPLACE FUNCTION lock_next_fence(p_fence bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT greatest(p_fence, lock_timeline_fence()) + 1
$$;
COMMENT ON FUNCTION lock_next_fence IS 'The fence of the grant that follows one with this fence.';

-- Each later grant raises the fence by one and uses up a transaction id, so the fence never passes
-- the ids: a row that was deleted is inserted again with a higher fence.
CREATE OR REPLACE FUNCTION lock_birth_fence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT lock_timeline_fence() + pg_current_xact_id()::text::bigint
$$;
COMMENT ON FUNCTION lock_birth_fence IS 'The fence with which the row of a scope is inserted.';
