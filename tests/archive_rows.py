"""Rows of three archives with suites of the same names, to test statements about one archive."""

#: Executed within `tests.rows.only_rows`. Rows that a test adds get higher numbers than these.
ARCHIVES = """
    SELECT setval(number, nextval(number) + 100)
    FROM unnest('{apt_archives,suites,package_files,source_releases,hook_runs}'::text[]) named,
        pg_get_serial_sequence(named, 'id') number;
    INSERT INTO apt_archives (id, name, forms, publish_by_hash, advertise_by_hash,
        valid_for_seconds, retention_seconds, quarantine_seconds) OVERRIDING SYSTEM VALUE
    VALUES (1, 'one', '{gz}', true, true, 3600, 1, 1), (2, 'two', '{gz}', true, true, 3600, 1, 1),
        (3, 'three', '{gz}', false, false, NULL, 1, 1);
    INSERT INTO suites (id, archive_id, name, codename, aliases, immutable)
        OVERRIDING SYSTEM VALUE
    VALUES (11, 1, 'stable', 'mint', '{now,past}', false), (12, 1, 'testing', 'rye', '{}', false),
        (13, 1, 'closed', 'oat', '{}', true), (21, 2, 'stable', 'mint', '{}', false),
        (31, 3, 'stable', 'mint', '{}', false);
    INSERT INTO components (suite_id, position, name)
    VALUES (11, 0, 'main'), (11, 1, 'extra'), (12, 0, 'main'), (21, 0, 'other');
    INSERT INTO architectures (suite_id, name)
    VALUES (11, 'amd64'), (11, 'arm64'), (12, 'amd64'), (21, 'riscv64');
    INSERT INTO suite_holds (suite_id, generation_id, content_number, held_by)
    VALUES (11, 'one-1', 1, 'me'), (21, 'two-2', 1, 'me');
"""
PACKAGES = """
    INSERT INTO package_files (id, archive_id, path, sha256, size_bytes, removed_at)
        OVERRIDING SYSTEM VALUE
    SELECT id, archive, 'pool/' || name, left(repeat(to_hex(id), 64), 64), id, gone
    FROM (VALUES (1, 1, 'a.deb', NULL), (2, 1, 'b.dsc', NULL), (3, 1, 'b.tar', NULL),
            (4, 2, 'a.deb', NULL), (5, 2, 'b.dsc', NULL), (6, 1, 'c.deb', NULL),
            (7, 1, 'd.deb', now()), (8, 1, 'e.deb', NULL), (9, 1, 'f.deb', NULL),
            (10, 1, 'g.udeb', NULL), (11, 2, 'other.deb', NULL), (12, 1, 'h.dsc', NULL),
            (13, 1, 'h.tar', NULL), (14, 2, 'waits.deb', NULL), (15, 1, 'i.dsc', NULL),
            (16, 1, 'k.deb', NULL))
        AS made (id, archive, name, gone);
    INSERT INTO binary_releases (id, archive_id, package, version, version_key, architecture,
        installer, source, source_version_key, control, file_id) OVERRIDING SYSTEM VALUE
    SELECT id, archive, package, version, version, architecture, package = 'g', package, '1', '',
        file
    FROM (VALUES (1, 1, 'a', '1', 'amd64', 1), (2, 2, 'a', '2', 'amd64', 4),
            (3, 1, 'c', '3', 'amd64', 6), (4, 1, 'd', '4', 'amd64', 7),
            (5, 1, 'e', '5', 'all', 8), (6, 1, 'f', '6', 'arm64', 9), (7, 1, 'g', '7', 'amd64', 10),
            (8, 2, 'other', '8', 'amd64', 11), (9, 2, 'waits', '9', 'amd64', 14),
            (10, 1, 'k', '10', 'amd64', 16))
        AS made (id, archive, package, version, architecture, file);
    INSERT INTO source_releases (id, archive_id, package, version, version_key, control, removed_at)
        OVERRIDING SYSTEM VALUE
    SELECT id, archive, package, version, version, '', gone
    FROM (VALUES (1, 1, 'b', '1', NULL), (2, 2, 'b', '1', NULL), (3, 1, 'h', '1', NULL),
            (4, 1, 'b', '1', now()), (5, 1, 'b', '2', NULL), (6, 1, 'i', '1', NULL))
        AS made (id, archive, package, version, gone);
    INSERT INTO source_release_files (source_release_id, position, file_id)
    VALUES (1, 0, 2), (1, 1, 3), (2, 0, 5), (3, 0, 12), (3, 1, 13), (6, 0, 15);
    INSERT INTO package_publications (id, suite_id, component, package, state, binary_release_id,
        source_release_id, published_at, ended_at, deleted_by, reason, scheduled_deletion_at,
        removed_at) OVERRIDING SYSTEM VALUE
    SELECT id, suite, component, package, state, binary_release, source_release,
        CASE WHEN state <> 'pending' THEN now() END, CASE WHEN state = 'deleted' THEN now() END,
        CASE WHEN state = 'deleted' THEN 'me' END, CASE WHEN state = 'deleted' THEN '' END,
        CASE WHEN state = 'deleted' THEN now() END,
        CASE WHEN package IN ('d', 'i', 'k') THEN now() END
    FROM (VALUES (1, 11, 'main', 'a', 'published', 1, NULL),
            (2, 11, 'main', 'b', 'published', NULL, 1), (3, 11, 'main', 'c', 'pending', 3, NULL),
            (4, 12, 'main', 'a', 'published', 1, NULL), (5, 21, 'main', 'a', 'published', 2, NULL),
            (6, 12, 'main', 'c', 'pending', 3, NULL), (7, 11, 'main', 'd', 'deleted', 4, NULL),
            (8, 11, 'main', 'e', 'published', 5, NULL), (9, 11, 'main', 'f', 'published', 6, NULL),
            (10, 12, 'main', 'g', 'published', 7, NULL), (11, 11, 'main', 'g', 'pending', 7, NULL),
            (12, 11, 'extra', 'a', 'published', 1, NULL),
            (13, 13, 'main', 'a', 'published', 1, NULL),
            (14, 21, 'main', 'other', 'published', 8, NULL),
            (15, 12, 'main', 'b', 'published', NULL, 1),
            (16, 21, 'main', 'b', 'published', NULL, 2),
            (17, 11, 'main', 'h', 'pending', NULL, 3),
            (19, 21, 'main', 'waits', 'pending', 9, NULL),
            (20, 11, 'main', 'i', 'deleted', NULL, 6), (21, 11, 'main', 'k', 'deleted', 10, NULL))
        AS made (id, suite, component, package, state, binary_release, source_release);
    INSERT INTO uploads (id, suite_id, component, name, state, caller, binary_release_id,
        source_release_id, done_at, error_message, note)
    SELECT id, suite, 'main', name, state, 'me', binary_release, source_release,
        CASE WHEN state = 'done' THEN now() END, CASE WHEN state = 'rejected' THEN 'bad' END, note
    FROM (VALUES ('u1', 11, 'a.deb', 'done', 1, NULL, 'first'),
            ('u2', 11, 'b.dsc', 'done', NULL, 1, NULL),
            ('u3', 11, 'bad.deb', 'rejected', NULL, NULL, NULL),
            ('u4', 12, 'c.deb', 'unapproved', 3, NULL, NULL),
            ('u5', 12, 'f.deb', 'accepted', 6, NULL, NULL),
            ('u6', 11, 'e.deb', 'accepted', 5, NULL, NULL),
            ('u7', 21, 'a.deb', 'accepted', 2, NULL, NULL),
            ('u8', 21, 'a.deb', 'unapproved', 2, NULL, NULL))
        AS made (id, suite, name, state, binary_release, source_release, note);
"""
#: Archive one has a formerly live generation, a live one, and one in preparation.
DISTS = """
    INSERT INTO dists_generations (id, archive_id, number, content_number, state, live_at,
        retired_at, run_id)
    SELECT id, archive, number, 1, state, CASE WHEN state <> 'building' THEN now() END,
        CASE WHEN state = 'retired' THEN now() END, run
    FROM (VALUES ('one-1', 1, 1, 'retired', 'r2'), ('one-2', 1, 2, 'live', 'r2'),
            ('one-3', 1, 3, 'building', 'r2'), ('two-1', 2, 1, 'retired', 'r3'),
            ('two-2', 2, 2, 'live', 'r3'), ('three-1', 3, 1, 'live', NULL))
        AS made (id, archive, number, state, run);
    INSERT INTO release_files (id, suite_id, name, content, sha256, dated_at, valid_until,
        signed_by, modified_at, first_number, gone_number) OVERRIDING SYSTEM VALUE
    SELECT id, suite, name, convert_to(id::text, 'UTF8'), repeat(to_hex(id), 64), now() - age,
        now() + lasts, key, 'epoch'::timestamptz + make_interval(hours => id), first, gone
    FROM (VALUES (1, 11, 'Release', interval '9 h', interval '-2 h', 'C', 1, 2),
            (2, 11, 'Release', '1000 s', '1000 s', 'A', 2, NULL),
            (3, 11, 'InRelease', '1 h', '-1 h', 'B', 2, NULL),
            (4, 12, 'Release', '9000 s', '1000 s', 'E', 1, NULL),
            (5, 21, 'Release', '1000 s', '3000 s', 'A', 1, NULL),
            (6, 31, 'Release', '1 h', NULL, '', 1, NULL),
            (7, 11, 'InRelease', '9 h', '-1 h', 'C', 1, 2))
        AS made (id, suite, name, age, lasts, key, first, gone);
    INSERT INTO lasting_releases (release_id, name, signed_by, content, sha256, created_at)
    SELECT id, name, key, convert_to(id || key, 'UTF8'), repeat('1', 64), made
    FROM (VALUES (1, 'Release', 'C', 'epoch'::timestamptz), (1, 'InRelease', 'D', now()),
            (4, 'Release.gpg', 'C', now())) AS made (id, name, key, made);
    INSERT INTO index_layouts (sha256, blocks)
    SELECT repeat(n, 64), ARRAY[n] FROM unnest('{1,2,3,4,5}'::text[]) n;
    INSERT INTO index_files (id, suite_id, path, form, served, layout, size_bytes, sha256,
        first_number, gone_number) OVERRIDING SYSTEM VALUE
    SELECT id, suite, path, form, served, repeat(layout, 64), id, repeat(to_hex(id), 64), first,
        gone
    FROM (VALUES (1, 11, 'main/Packages', 'gz', true, '1', 1, 2),
            (2, 11, 'main/Packages', 'gz', true, '2', 2, NULL),
            (3, 11, 'main/Packages', 'plain', false, '2', 2, NULL),
            (4, 11, 'extra/Packages', 'gz', true, '3', 1, NULL),
            (5, 12, 'main/Packages', 'gz', true, '4', 1, NULL),
            (6, 21, 'main/Packages', 'gz', true, '5', 1, NULL),
            (7, 31, 'main/Packages', 'gz', true, '5', 1, NULL))
        AS made (id, suite, path, form, served, layout, first, gone);
    INSERT INTO index_files (id, suite_id, path, form, served, layout, size_bytes, sha256,
        first_number, gone_number) OVERRIDING SYSTEM VALUE
    SELECT 8, suite_id, path, form, served, layout, size_bytes, sha256, 7, 9
    FROM index_files WHERE id = 1;
"""
RUNS = """
    INSERT INTO publisher_runs (id, operation, archive_id, options, state, caller, holder, lock_id,
        fence, started_at, finished_at, purpose, steps)
    SELECT id, operation, archive, '{}', state, 'me', 'here', lock, 1, now() - interval '1000 s',
        CASE WHEN state <> 'running' THEN now() END, NULL, steps
    FROM (VALUES ('r1', 'publish-distro', 1, 'running', 'l1', 2),
            ('r2', 'publish-distro', 1, 'succeeded', 'l2', 2),
            ('r3', 'publish-ftpmaster', 2, 'succeeded', 'l2', 2),
            ('r4', 'publish-distro', 2, 'succeeded', 'l4', 3))
        AS made (id, operation, archive, state, lock, steps);
    INSERT INTO run_phases (run_id, position, phase, finished_at)
    VALUES ('r1', 0, 'accept', now()), ('r1', 1, 'publish', NULL), ('r2', 0, 'index', NULL),
        ('r3', 0, 'release', NULL);
    INSERT INTO hook_runs (id, run_id, stage, name, timed_out, seconds, output)
        OVERRIDING SYSTEM VALUE
    VALUES (1, 'r1', 'before', 'one', false, 1, ''), (2, 'r1', 'before', 'two', false, 1, ''),
        (3, 'r2', 'after', 'three', false, 1, '');
"""
