-- Tables of reports, and indexes for filters of lists.
CREATE TABLE service_processes (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    version TEXT NOT NULL,
    build TEXT NOT NULL,
    schema TEXT NOT NULL,
    address TEXT,
    places INTEGER NOT NULL,
    busy INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    threads INTEGER NOT NULL,
    draining BOOLEAN NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    every_seconds DOUBLE PRECISION NOT NULL,
    CONSTRAINT service_processes_pkey PRIMARY KEY (name),
    CONSTRAINT service_processes_kind_check CHECK (kind IN ('api', 'worker')),
    CONSTRAINT service_processes_numbers_check CHECK (places >= 0 AND busy >= 0 AND waiting >= 0 AND threads >= 0),
    CONSTRAINT service_processes_every_seconds_check CHECK (every_seconds > 0)
);
COMMENT ON TABLE service_processes IS 'Processes of the service that were seen of late; each writes its own row.';
COMMENT ON COLUMN service_processes.name IS 'of the process, as the holder of its locks';
COMMENT ON COLUMN service_processes.kind IS 'api, worker';
COMMENT ON COLUMN service_processes.version IS 'of the package that it runs';
COMMENT ON COLUMN service_processes.build IS 'digest of the code that it runs';
COMMENT ON COLUMN service_processes.schema IS 'revision of the tables that its code needs';
COMMENT ON COLUMN service_processes.address IS 'where it listens; null: nowhere';
COMMENT ON COLUMN service_processes.places IS 'requests that run at once; of a worker: stagings';
COMMENT ON COLUMN service_processes.busy IS 'places that were in use at the newest beat';
COMMENT ON COLUMN service_processes.waiting IS 'requests that waited at the newest beat';
COMMENT ON COLUMN service_processes.threads IS 'its threads at the newest beat';
COMMENT ON COLUMN service_processes.draining IS 'whether it is about to end';
COMMENT ON COLUMN service_processes.started_at IS 'of its first beat';
COMMENT ON COLUMN service_processes.seen_at IS 'of its newest beat';
COMMENT ON COLUMN service_processes.every_seconds IS 'between two beats';

CREATE TABLE staging_minutes (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    count BIGINT NOT NULL,
    fetched_bytes BIGINT NOT NULL,
    staged_bytes BIGINT NOT NULL,
    CONSTRAINT staging_minutes_pkey PRIMARY KEY (minute, kind, state),
    CONSTRAINT staging_minutes_kind_check CHECK (kind IN ('staging', 'artifact')),
    CONSTRAINT staging_minutes_numbers_check CHECK (count > 0 AND fetched_bytes >= 0 AND staged_bytes >= 0)
);
COMMENT ON TABLE staging_minutes IS 'Counts of staging_events by minute and new state; made from the events, once each.';
COMMENT ON COLUMN staging_minutes.minute IS 'when it began; of those older than two days, their hour';
COMMENT ON COLUMN staging_minutes.kind IS 'staging, artifact';
COMMENT ON COLUMN staging_minutes.state IS 'that was entered';
COMMENT ON COLUMN staging_minutes.count IS 'how often';
COMMENT ON COLUMN staging_minutes.fetched_bytes IS 'read from sources by what was staged';
COMMENT ON COLUMN staging_minutes.staged_bytes IS 'size of what was staged';

CREATE TABLE staging_counted (
    sole BOOLEAN DEFAULT true NOT NULL,
    counted_until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT staging_counted_pkey PRIMARY KEY (sole),
    CONSTRAINT staging_counted_sole_check CHECK (sole)
);
COMMENT ON TABLE staging_counted IS 'How far staging_minutes has come.';
COMMENT ON COLUMN staging_counted.sole IS 'true: one row';
COMMENT ON COLUMN staging_counted.counted_until IS 'staging_minutes has all events before then';

CREATE TABLE store_usage (
    use TEXT NOT NULL,
    blobs BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    files BIGINT NOT NULL,
    file_bytes BIGINT NOT NULL,
    counted_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT store_usage_pkey PRIMARY KEY (use),
    CONSTRAINT store_usage_use_check CHECK (use IN ('packages', 'pinned', 'read_lately', 'idle', 'unnamed'))
);
COMMENT ON TABLE store_usage IS 'What the contents of the store are there for; counted by workers every half hour.';
COMMENT ON COLUMN store_usage.use IS 'packages, pinned, read_lately, idle, unnamed';
COMMENT ON COLUMN store_usage.blobs IS 'contents that are there for it';
COMMENT ON COLUMN store_usage.bytes IS 'of these, each counted once';
COMMENT ON COLUMN store_usage.files IS 'files and packs that name them';
COMMENT ON COLUMN store_usage.file_bytes IS 'sum of the sizes of these files';
COMMENT ON COLUMN store_usage.counted_at IS 'when it was counted';

CREATE TABLE store_largest (
    place SERIAL NOT NULL,
    archive_url TEXT NOT NULL,
    artifacts BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    counted_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT store_largest_pkey PRIMARY KEY (place)
);
COMMENT ON TABLE store_largest IS 'The archives with the largest files, counted with store_usage.';
COMMENT ON COLUMN store_largest.place IS '1: the largest';
COMMENT ON COLUMN store_largest.archive_url IS 'canonical, free of credentials';
COMMENT ON COLUMN store_largest.artifacts IS 'of it that are staged';
COMMENT ON COLUMN store_largest.bytes IS 'sum of the sizes of its files';
COMMENT ON COLUMN store_largest.counted_at IS 'when it was counted';

CREATE TABLE store_prunes (
    id TEXT COLLATE "C" NOT NULL,
    caller TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    idle_before TIMESTAMP WITH TIME ZONE NOT NULL,
    keep_bytes BIGINT NOT NULL,
    artifact_ids TEXT[] NOT NULL,
    frees_bytes BIGINT NOT NULL,
    reason TEXT,
    begun_by TEXT,
    begun_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    evicted BIGINT,
    freed_bytes BIGINT,
    CONSTRAINT store_prunes_pkey PRIMARY KEY (id),
    CONSTRAINT store_prunes_steps_check CHECK (num_nulls(begun_at, begun_by, reason) IN (0, 3) AND (ended_at IS NULL OR begun_at IS NOT NULL) AND num_nulls(ended_at, evicted, freed_bytes) IN (0, 3))
);
COMMENT ON TABLE store_prunes IS 'Prunes that operators previewed and let be done by the API: who, what and why.';
COMMENT ON COLUMN store_prunes.id IS 'ULID; the token of its preview';
COMMENT ON COLUMN store_prunes.caller IS 'who asked for the preview';
COMMENT ON COLUMN store_prunes.made_at IS 'when it was previewed';
COMMENT ON COLUMN store_prunes.idle_before IS 'only artifacts that were not read since then are evicted';
COMMENT ON COLUMN store_prunes.keep_bytes IS 'to which size the store was to shrink';
COMMENT ON COLUMN store_prunes.artifact_ids IS 'artifacts of the preview';
COMMENT ON COLUMN store_prunes.frees_bytes IS 'that evicting all of them frees';
COMMENT ON COLUMN store_prunes.reason IS 'why it was done; null: only previewed';
COMMENT ON COLUMN store_prunes.begun_by IS 'who let it be done; null: only previewed';
COMMENT ON COLUMN store_prunes.begun_at IS 'when it was begun; null: only previewed';
COMMENT ON COLUMN store_prunes.ended_at IS 'when it was done; null: not begun, runs, or its process died';
COMMENT ON COLUMN store_prunes.evicted IS 'number of artifacts that were evicted';
COMMENT ON COLUMN store_prunes.freed_bytes IS 'by which the store became smaller';

CREATE INDEX archives_prefix_idx ON archives (archive_url COLLATE "C");
CREATE INDEX stagings_error_code_idx ON stagings (error_code, id) WHERE error_code IS NOT NULL;
CREATE INDEX stagings_ended_early_idx ON stagings (state, id) WHERE state IN ('failed', 'cancelled');
CREATE INDEX staged_artifacts_error_code_idx ON staged_artifacts (error_code, id) WHERE error_code IS NOT NULL;
CREATE INDEX staged_artifacts_not_staged_idx ON staged_artifacts (state, id) WHERE state <> 'staged';
CREATE INDEX staged_artifacts_pinned_idx ON staged_artifacts (pinned_until) WHERE pinned_until IS NOT NULL;
