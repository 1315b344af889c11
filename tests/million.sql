-- A year: 200,000 stagings of 5 artifacts each, with a file and an event for each artifact.
INSERT INTO archives (archive_url, static_prefix)
SELECT 'gs://bucket' || n % 10 || '/board/R' || n, 'board/R' || n FROM generate_series(1, 200000) n;

INSERT INTO stagings (id, archive_url, state, requested, caller, created_at, foreground_staged_at,
    finished_at, events_count, events_digest)
SELECT left(ulid_floor(at), 10) || lpad(n::text, 16, '0'), 'gs://bucket' || n % 10 || '/board/R' || n,
    'staged', '{a,b}', 'caller ' || n % 100, at, at + interval '1 min', at + interval '1 min', 5,
    encode(sha256((n || ' 5')::bytea), 'hex')
FROM (SELECT n, timestamptz '2026-01-01Z' + n * interval '157 s' AS at
      FROM generate_series(1, 200000) n) s;

INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state, path, size_bytes,
    sha256, source_url, source_version, lock_id, fence, attempt, created_at, started_at, staged_at,
    evicted_at, evict_reason, verified_by)
SELECT left(s.id, 20) || lpad((n % 10)::text, 1, '0') || right(s.id, 5), s.id, s.archive_url, 'name' || n,
    'archive', 'foreground', CASE WHEN n = 5 THEN 'evicted' ELSE 'staged' END,
    'board/' || split_part(s.archive_url, '/', 5) || '/' || n, 1000,
    encode(sha256((s.id || n)::bytea), 'hex'), s.archive_url || '/' || n, '1', s.id, 1, 1, s.created_at,
    s.created_at + interval '1 s', s.created_at + interval '3 s',
    CASE WHEN n = 5 THEN s.created_at + interval '1 day' END, CASE WHEN n = 5 THEN 'space' END,
    CASE WHEN n > 1 THEN 'md5' END
FROM stagings s CROSS JOIN generate_series(1, 5) n;

INSERT INTO blobs (sha256, size_bytes) SELECT sha256, 1000 FROM staged_artifacts;

INSERT INTO loose_files (artifact_id, path, sha256, size_bytes)
SELECT id, path, sha256, 1000 FROM staged_artifacts WHERE state = 'staged';

INSERT INTO staging_events (id, staging_id, number, at, kind, artifact_id, name, to_state, actor, detail,
    previous_digest, digest)
SELECT a.id, a.staging_id, right(a.name, 1)::int, a.staged_at, 'artifact', a.id, a.name, 'staged', 'x',
    jsonb_build_object('sha256', a.sha256, 'source_url', a.source_url),
    CASE WHEN a.name <> 'name1' THEN repeat('0', 64) END, repeat('0', 64)
FROM staged_artifacts a;

INSERT INTO api_locks (id, kind, scope, caller, holder, fence, acquired_at, expires_at, ended_at, outcome)
SELECT s.id, 'archive', s.archive_url, s.caller, 'pod', 1, s.created_at, s.created_at + interval '15 s',
    s.created_at + interval '9 s', CASE WHEN right(s.id, 2) = '00' THEN 'expired' ELSE 'released' END
FROM stagings s
