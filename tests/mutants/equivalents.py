"""Mutants without an observable effect: the file, the line before and after, and the reason.

Equivalents of the lock's predicates are in `tests.prove.equivalents`.
"""

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "staging_api/staging/transfer.py",
        "with transfer.store.parts.open(key, source_object.size_bytes or 0) as parts:",
        "with transfer.store.parts.open(key, source_object.size_bytes or 1) as parts:",
    ): "only objects with a length have a key",
    (
        "staging_api/publishing/phases.py",
        "_ACCEPTED_AT_ONCE = 200",
        "_ACCEPTED_AT_ONCE = 201",
    ): "batch size of single acceptances: all are accepted in the end",
    (
        "staging_api/publishing/phases.py",
        "_PUBLISHED_AT_ONCE = 500",
        "_PUBLISHED_AT_ONCE = 501",
    ): "batch size: all are published in the end, only the time of a displayed phase differs",
    (
        "staging_api/publishing/suite_publishing.py",
        "many: int = 1000",
        "many: int = 1001",
    ): "threshold for renewing statistics: only the duration of queries differs",
    (
        "staging_api/publishing/sent_packages.py",
        "return read_dsc(opened.read(MAX_DSC_BYTES + 1))",
        "return read_dsc(opened.read(MAX_DSC_BYTES + 2))",
    ): "one excess byte causes a refusal, and the bytes of a refused file are not kept",
    (
        "staging_api/publishing/apt_archives.py",
        "conn, archive_id, limit=1, publication_id=publication_id",
        "conn, archive_id, limit=2, publication_id=publication_id",
    ): "only one package has the requested number",
    (
        "staging_api/staging/housekeeping.py",
        "again = _FIRST_RETRY_SECONDS * 2.0 ** min(step.failures - 1, 20)",
        "again = _FIRST_RETRY_SECONDS * 2.0 ** min(step.failures - 1, 21)",
    ): "both are far beyond the longest pause, which is the limit",
    (
        "staging_api/staging/worker.py",
        "self._served = 0",
        "self._served = 1",
    ): "turns are only compared, and the first is later than no turn",
    (
        "staging_api/staging/worker.py",
        "self._served += 1",
        "self._served += 2",
    ): "turns are only compared",
    (
        "staging_api/db/functions/staging_settle.sql",
        "LIMIT 1;",
        "LIMIT 2;",
    ): "SELECT ... INTO takes the first row, and ignores the others",
    (
        "staging_api/identity/tokens.py",
        (
            "def construct_mapping(self, node: yaml.MappingNode, deep: bool = False)"
            " -> dict[Any, Any]:"
        ),
        (
            "def construct_mapping(self, node: yaml.MappingNode, deep: bool = True)"
            " -> dict[Any, Any]:"
        ),
    ): "decides when the values of a mapping are built, not which; no entry may contain itself",
    (
        "staging_api/identity/tokens.py",
        "super().__init__()",
        "pass",
    ): "only its line is used, not its representation",
    (
        "staging_api/processes/slow_clients.py",
        "def begin(self, client: socket.socket, size_bytes: int = 0) -> None:",
        "def begin(self, client: socket.socket, size_bytes: int = 1) -> None:",
    ): "the time for one byte, which is milliseconds",
    (
        "staging_api/logs.py",
        "return any(sign in small for sign in _SIGNS)",
        "return any(sign not in small for sign in _SIGNS)",
    ): "a pre-check of the patterns, whose replacements are the same: only the time differs",
    (
        "staging_api/name_table.py",
        'file.execute("BEGIN")',
        "pass",
    ): "the file goes with its process: a transaction only saves time",
    (
        "staging_api/publishing/rows/pool.py",
        "SELECT FROM blobs WHERE sha256 IN (SELECT blob FROM package_files WHERE id = ANY(:files))",
        (
            "SELECT FROM blobs WHERE sha256 IN"
            " (SELECT blob FROM package_files WHERE true OR id = ANY(:files))"
        ),
    ): "more rows are locked, in the same order, for a moment",
    (
        "staging_api/publishing/pieces.py",
        "REMEMBERED_BYTES = 128 << 20",
        "REMEMBERED_BYTES = 129 << 20",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "REMEMBERED_BYTES = 128 << 20",
        "REMEMBERED_BYTES = 128 << 21",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "_REMEMBERED_FILES = 2000",
        "_REMEMBERED_FILES = 2001",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "_REMEMBERED_LAYOUTS = 200",
        "_REMEMBERED_LAYOUTS = 201",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "_REMEMBERED_ENTRY_BYTES = 16 << 20",
        "_REMEMBERED_ENTRY_BYTES = 17 << 20",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "_REMEMBERED_ENTRY_BYTES = 16 << 20",
        "_REMEMBERED_ENTRY_BYTES = 16 << 21",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/publishing/indices.py",
        "@lru_cache(maxsize=16_384)",
        "@lru_cache(maxsize=16385)",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/publishing/block_writer.py",
        '_POOL = ThreadPoolExecutor(2, "compress")',
        '_POOL = ThreadPoolExecutor(3, "compress")',
    ): "number of blocks compressed concurrently: only the time differs",
    (
        "staging_api/misspelt.py",
        "if likely := get_close_matches(_MEANT.get(name, name), known, 1, _LIKENESS):",
        "if likely := get_close_matches(_MEANT.get(name, name), known, 2, _LIKENESS):",
    ): "only the likeliest is named, which comes first",
    (
        "staging_api/name_table.py",
        "MOST_IN_MEMORY = 100_000",
        "MOST_IN_MEMORY = 100001",
    ): "number of names above which a table has a file: only time and memory differ",
    (
        "staging_api/name_table.py",
        'file.execute(f"PRAGMA {setting}")',
        "pass",
    ): "the file goes with its process: its settings only save time",
    (
        "staging_api/name_table.py",
        'file.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")',
        "pass",
    ): "how much of the file is cached in memory: only the time differs",
    (
        "staging_api/name_table.py",
        "_CACHE_KIB = 8 << 10",
        "_CACHE_KIB = 9 << 10",
    ): "how much of the file is cached in memory: only the time differs",
    (
        "staging_api/name_table.py",
        "_CACHE_KIB = 8 << 10",
        "_CACHE_KIB = 8 << 11",
    ): "how much of the file is cached in memory: only the time differs",
    (
        "staging_api/logs.py",
        "handler = root.handlers[0] if len(root.handlers) == 1 else None",
        "handler = root.handlers[0] if len(root.handlers) != 1 else None",
    ): "a line takes the slower path, with the same result: only the time differs",
    (
        "staging_api/logs.py",
        "handler = root.handlers[0] if len(root.handlers) == 1 else None",
        "handler = root.handlers[0] if len(root.handlers) == 2 else None",
    ): "a line takes the slower path, with the same result: only the time differs",
    (
        "staging_api/open_streams.py",
        "self._wake_up = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)",
        "self._wake_up = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)",
    ): "the thread is woken once, and finds that there is nothing to do",
    (
        "staging_api/name_table.py",
        "_GROUP = 5000",
        "_GROUP = 5001",
    ): "number of names written in one batch: only the time differs",
    (
        "staging_api/open_stream.py",
        "return self._sock.fileno() if self._sock is not None else -1",
        "return self._sock.fileno() if self._sock is not None else -2",
    ): "any negative number means that there is no connection",
    (
        "staging_api/open_streams.py",
        "os.eventfd_write(self._wake_up, 1)",
        "os.eventfd_write(self._wake_up, 2)",
    ): "any number wakes the thread, which ignores its value",
    (
        "staging_api/staging/record.py",
        "_TICK = timedelta(milliseconds=1)",
        "_TICK = timedelta(milliseconds=2)",
    ): "stagings of the next millisecond are read too, but their contradictions are left out",
    (
        "staging_api/store/disk.py",
        "_sync_file_system(paths[0])",
        "_sync_file_system(paths[1])",
    ): "all of them are on the same file system",
    (
        "staging_api/store/bucket_objects.py",
        'def listed(self, prefix: str, chunk_size: int = 50) -> Iterator["ObjectMeta"]:',
        'def listed(self, prefix: str, chunk_size: int = 51) -> Iterator["ObjectMeta"]:',
    ): "number of objects in a page, which are passed on one by one",
    (
        "staging_api/store/disk.py",
        "_ZEROS = bytes(1 << 20)",
        "_ZEROS = bytes(2 << 20)",
    ): "both are at least as long as the longest chunk, and cut to the chunk's length",
    (
        "staging_api/traces.py",
        'words = statement.split(maxsplit=1) or ["statement"]',
        'words = statement.split(maxsplit=2) or ["statement"]',
    ): "only the first word is used",
    (
        "staging_api/log_writer.py",
        "self._will_be_written = True",
        "self._will_be_written = False",
    ): "the thread is woken once more, and finds the same lines",
    (
        "staging_api/client/transport.py",
        "redirect=False,",
        "redirect=True,",
    ): "its pool makes no retries, and therefore follows no redirects",
    (
        "staging_api/settings/group.py",
        (
            'model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True,'
            " defer_build=True)"
        ),
        (
            'model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True,'
            " defer_build=False)"
        ),
    ): "decides when the checks are built, not which",
    (
        "staging_api/open_streams.py",
        "writes = select.EPOLLOUT if stream.waits else 0",
        "writes = select.EPOLLOUT if stream.waits else 1",
    ): "1 is EPOLLIN, which is wanted anyway",
    (
        "staging_api/shutdown.py",
        "self._shared = mmap.mmap(-1, 1)",
        "self._shared = mmap.mmap(-1, 2)",
    ): "only one byte of the memory is used",
    (
        "staging_api/store/spool.py",
        "folder = self._tmp / owner / token_hex(8)",
        "folder = self._tmp / owner / token_hex(9)",
    ): "a longer name, which is still unique",
    (
        "staging_api/processes/request_heads.py",
        "_READ_BYTES = 16 << 10",
        "_READ_BYTES = 17 << 10",
    ): "size of one read: the bytes read in total are the same",
    (
        "staging_api/processes/request_heads.py",
        "_READ_BYTES = 16 << 10",
        "_READ_BYTES = 16 << 11",
    ): "size of one read: the bytes read in total are the same",
    (
        "staging_api/processes/request_heads.py",
        'words = bytes(self.head[:256]).split(b" ", 2)',
        'words = bytes(self.head[:256]).split(b" ", 3)',
    ): "only the second word is taken, which ends at the second space either way",
    (
        "staging_api/formats/zip.py",
        "_WORTH_A_THREAD = 1 << 20",
        "_WORTH_A_THREAD = 2 << 20",
    ): "size above which a thread helps: only the time differs",
    (
        "staging_api/devserver/load.py",
        'if row[0] != "lo:" and row[1].isdigit():',
        'if row[0] != "lo:" and row[2].isdigit():',
    ): "the headings have no number in either column, and each interface has one",
    (
        "staging_api/http/addresses.py",
        "@lru_cache(maxsize=1024)",
        "@lru_cache(maxsize=1025)",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/http/bodies.py",
        'model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)',
        'model_config = ConfigDict(defer_build=False, extra="forbid", frozen=True)',
    ): "decides when the checks are built, not which",
    (
        "staging_api/http/handover.py",
        "_SMALL_BYTES = 64 << 10",
        "_SMALL_BYTES = 64 << 11",
    ): "the bytes are read by this process or by the kernel, but the same ones are sent",
    (
        "staging_api/http/handover.py",
        "_SMALL_BYTES = 64 << 10",
        "_SMALL_BYTES = 65 << 10",
    ): "the bytes are read by this process or by the kernel, but the same ones are sent",
    (
        "staging_api/http/idempotency.py",
        "if self.resp.status_code >= 300:  # noqa: PLR2004 - no success, RFC 9110",
        "if self.resp.status_code >= 301:  # noqa: PLR2004 - no success, RFC 9110",
    ): "no responder answers with 300",
    (
        "staging_api/http/known_answers.py",
        "_BYTES_BESIDE = 1000  # of the objects round a text",
        "_BYTES_BESIDE = 1001  # of the objects round a text",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/http/known_answers.py",
        "_LONGEST_BODY = 4096",
        "_LONGEST_BODY = 4097",
    ): "length up to which a body is looked up: only the time differs",
    (
        "staging_api/http/known_answers.py",
        "_MOST_ANSWERS, _ANSWER_BYTES = 10_000, 16 << 20",
        "_MOST_ANSWERS, _ANSWER_BYTES = 10001, 16 << 20",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/http/known_answers.py",
        "_MOST_REQUESTS, _REQUEST_BYTES = 10_000, 8 << 20",
        "_MOST_REQUESTS, _REQUEST_BYTES = 10001, 8 << 20",
    ): "size of a cache: only time and memory differ",
    (
        "staging_api/http/openapi.py",
        'def _add_model(self, model: type[BaseModel], mode: _Mode = "validation") -> str:',
        "def _add_model(self, model: type[BaseModel], mode: _Mode = 'other_validation') -> str:",
    ): "the library always passes this argument",
    (
        "staging_api/http/origins.py",
        "@lru_cache(maxsize=256)",
        "@lru_cache(maxsize=257)",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/http/parameters.py",
        "if any(value != values[0] for value in values):",
        "if any(value != values[1] for value in values):",
    ): "at this point all are equal, or one differs from both",
    (
        "staging_api/http/parameters.py",
        "params[name] = values[0]",
        "params[name] = values[1]",
    ): "at this point all are equal, or one differs from both",
    (
        "staging_api/http/resources/configdocs/collections.py",
        "_CHUNK_BYTES = 1 << 20",
        "_CHUNK_BYTES = 1 << 21",
    ): "size of one read",
    (
        "staging_api/http/resources/configdocs/collections.py",
        "_CHUNK_BYTES = 1 << 20",
        "_CHUNK_BYTES = 2 << 20",
    ): "size of one read",
    (
        "staging_api/http/sending.py",
        "@lru_cache(maxsize=4096)",
        "@lru_cache(maxsize=4097)",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/metrics.py",
        "self._used = self._capacity = 0",
        "self._used = self._capacity = 1",
    ): "both are read only after the file was opened, which sets them",
    (
        "staging_api/sources/model.py",
        "CHUNK_BYTES = 1 << 20",
        "CHUNK_BYTES = 1 << 21",
    ): "size of one read: the bytes read in total are the same",
    (
        "staging_api/sources/model.py",
        "CHUNK_BYTES = 1 << 20",
        "CHUNK_BYTES = 2 << 20",
    ): "size of one read: the bytes read in total are the same",
    (
        "staging_api/sources/url.py",
        "@lru_cache(maxsize=1024)",
        "@lru_cache(maxsize=1025)",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/documents/paths.py",
        "@lru_cache(maxsize=4096)",
        "@lru_cache(maxsize=4097)",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/documents/patterns.py",
        "@lru_cache(maxsize=2048)",
        "@lru_cache(maxsize=2049)",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/documents/validators.py",
        "raw = answer.read(_MAX_ANSWER_BYTES + 1)",
        "raw = answer.read(_MAX_ANSWER_BYTES + 2)",
    ): "one byte beyond the limit is refused, two bytes are as well",
    (
        "staging_api/sources/http.py",
        "if exact and (left or answer.read1(1)):",
        "if exact and (left or answer.read1(2)):",
    ): "only the arrival of data is checked, not its amount",
    (
        "staging_api/sources/manifest.py",
        "unpacked = zlib.decompressobj(_GZIP_WINDOW).decompress(raw, MAX_BYTES + 1)",
        "unpacked = zlib.decompressobj(_GZIP_WINDOW).decompress(raw, MAX_BYTES + 2)",
    ): "one byte beyond the limit is refused, two bytes are as well",
    (
        "staging_api/sources/manifest.py",
        '_GZIP, _GZIP_WINDOW, _PACKED_NAMES = b"\\x1f\\x8b", 31, (".gz", ".tgz")',
        '_GZIP, _GZIP_WINDOW, _PACKED_NAMES = b"\\x1f\\x8b", 32, (".gz", ".tgz")',
    ): "zlib then accepts its own header as well, but here all data begins with that of gzip",
    (
        "staging_api/documents/rows/revision_rows.py",
        "for row in conn.execute(select(*_COMMIT_COLUMNS).where(commits.revision.in_(numbers)))",
        "for row in conn.execute(select(*_COMMIT_COLUMNS))",
    ): "more rows are read, and looked up by their number",
    (
        "staging_api/documents/rows/revision_rows.py",
        "select(*_TAG_COLUMNS).where(tags.revision.in_(numbers)).order_by(tags.tag)",
        "select(*_TAG_COLUMNS).order_by(tags.tag)",
    ): "more rows are read, and looked up by their number",
    (
        "staging_api/sources/bucket_pages.py",
        "_CHUNK_BYTES = 64 << 10",
        "_CHUNK_BYTES = 65 << 10",
    ): "size of one read: the bytes read in total are the same",
    (
        "staging_api/sources/bucket_pages.py",
        "_CHUNK_BYTES = 64 << 10",
        "_CHUNK_BYTES = 64 << 11",
    ): "size of one read: the bytes read in total are the same",
    (
        "staging_api/documents/rotation.py",
        "_AT_ONCE = 100",
        "_AT_ONCE = 101",
    ): "batch size of look-ups: all are looked up in the end",
    (
        "staging_api/documents/validation/cpu_budget.py",
        "_STEPS = 16",
        "_STEPS = 17",
    ): "how often the clock is read",
    (
        "staging_api/documents/validation/cpu_budget.py",
        "self._steps = 0",
        "self._steps = 1",
    ): "how often the clock is read",
    (
        "staging_api/documents/validation/cpu_budget.py",
        "self._steps += 1",
        "self._steps += 2",
    ): "how often the clock is read",
    (
        "staging_api/documents/validation/cpu_budget.py",
        "if self._steps % _STEPS == 0:",
        "if self._steps % _STEPS == 1:",
    ): "how often the clock is read",
    (
        "staging_api/documents/validation/checks.py",
        "_SCHEMAS_KEPT = 1_000",
        "_SCHEMAS_KEPT = 1001",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/documents/validation/checks.py",
        "_VERDICTS_KEPT = 100_000",
        "_VERDICTS_KEPT = 100001",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/sources/origin.py",
        'return urlsplit(f"//{url.authority}").port or SCHEMES[url.scheme].default_port or 0',
        'return urlsplit(f"//{url.authority}").port or SCHEMES[url.scheme].default_port or 1',
    ): "http and https have a port of their own",
    (
        "staging_api/sources/origin.py",
        "_CONNECTIONS = 8",
        "_CONNECTIONS = 9",
    ): "number of idle connections kept: only the time differs",
    (
        "staging_api/debian/xz.py",
        'HEADER = lzma.compress(b"", check=lzma.CHECK_CRC32, preset=0)[:_HEADER_BYTES]',
        'HEADER = lzma.compress(b"", check=lzma.CHECK_CRC32, preset=1)[:_HEADER_BYTES]',
    ): "the header is the same at each level",
    (
        "staging_api/debian/forms.py",
        "_PIECE_BYTES = 1 << 20",
        "_PIECE_BYTES = 2 << 20",
    ): "size of one unpacked chunk: the limit is checked after each chunk",
    (
        "staging_api/debian/forms.py",
        "_PIECE_BYTES = 1 << 20",
        "_PIECE_BYTES = 1 << 21",
    ): "size of one unpacked chunk: the limit is checked after each chunk",
    (
        "staging_api/embedded_postgres/unprivileged.py",
        "header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)",
        "header = (ctypes.c_uint32 * 3)(_CAPABILITY_VERSION_3, 0)",
    ): "the kernel reads the two numbers that a header of this version has",
    (
        "staging_api/embedded_postgres/unprivileged.py",
        "low_and_high = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)",
        "low_and_high = (ctypes.c_uint32 * 7)(bit, bit, bit, 0, 0, 0)",
    ): "the kernel reads the six numbers that this version has",
    (
        "staging_api/debian/forms.py",
        "_XZ_MEMORY_BYTES = 80 << 20",
        "_XZ_MEMORY_BYTES = 81 << 20",
    ): "the format has dictionaries of 64 and of 96 MiB, but no size in between",
    (
        "staging_api/formats/zip_directory.py",
        "_SIZES_FOLLOW = 0x0008",
        "_SIZES_FOLLOW = 9",
    ): "the additional bit marks an encrypted member, whose local header is not read",
    (
        "staging_api/store/parts.py",
        "own = folder / token_hex(8)",
        "own = folder / token_hex(9)",
    ): "a longer name, which is still unique",
    (
        "staging_api/embedded_postgres/cluster.py",
        "data.parent.mkdir(mode=0o700, exist_ok=True)",
        "pass",
    ): "initdb makes the folder above its own with the same mode and owner",
    (
        "staging_api/embedded_postgres/supervisor.py",
        "os._exit(0)",
        "os._exit(1)",
    ): "the process that waits for the detaching parent ignores its exit code",
    (
        "staging_api/staging/eviction.py",
        "_FIRST_LOOK = 1000",
        "_FIRST_LOOK = 1001",
    ): "the plan has the first artifacts that suffice, however many were read",
    (
        "staging_api/staging/eviction.py",
        "limit *= 4  # each look begins anew, so few large steps cost less than many small ones",
        "limit *= 5  # each look begins anew, so few large steps cost less than many small ones",
    ): "the plan has the first artifacts that suffice, however many were read",
    (
        "staging_api/staging/files.py",
        "found = folder_rows.served_below(conn, folder, _MOST_FILES + 1)",
        "found = folder_rows.served_below(conn, folder, _MOST_FILES + 2)",
    ): "one more row is read before the refusal",
    (
        "staging_api/staging/repository/count_rows.py",
        '_FIRST_EVENT = text("SELECT at FROM staging_events ORDER BY id LIMIT 1")',
        '_FIRST_EVENT = text("SELECT at FROM staging_events ORDER BY id LIMIT 2")',
    ): "the first row is taken, the other one ignored",
    (
        "staging_api/staging/repository/reading.py",
        "WHERE s.finished_at IS NULL AND (s.state = 'foreground_staged') = class.background",
        (
            "WHERE true OR s.finished_at IS NULL AND (s.state = 'foreground_staged')"
            " = class.background"
        ),
    ): "callers are queried in order: a caller without due work costs one query in vain",
    (
        "staging_api/staging/assembly.py",
        "self._further.pop(further)",
        "pass",
    ): "the next event for this path writes its own entry, or removes this one",
    (
        "staging_api/staging/repository/reading.py",
        ".limit(1)",
        ".limit(2)",
    ): "the first of the rows is taken, in the order of the query",
    (
        "staging_api/staging/repository/reading.py",
        "ORDER BY q.cancel_requested, q.staging_id LIMIT 1",
        "ORDER BY q.cancel_requested, q.staging_id LIMIT 2",
    ): "the first of the rows is taken, in the order of the query",
    (
        "staging_api/staging/repository/upload_rows.py",
        "RETURNING true",
        "RETURNING false",
    ): "only the existence of a row counts, not its content",
    (
        "staging_api/staging/repository/usage_rows.py",
        "WHERE f.sha256 IS NOT NULL GROUP BY f.sha256",
        "WHERE true OR f.sha256 IS NOT NULL GROUP BY f.sha256",
    ): "a group without a digest is joined with no content",
    (
        "staging_api/staging/repository/usage_rows.py",
        "WHERE blob IS NOT NULL GROUP BY blob",
        "WHERE true OR blob IS NOT NULL GROUP BY blob",
    ): "a group without a digest is joined with no content",
    (
        "staging_api/ui/freshness.py",
        "@dataclass(eq=False)",
        "@dataclass(eq=True)",
    ): "what is kept is the value of a dictionary by its key: none is compared, and none is a key",
    (
        "staging_api/ui/rendering.py",
        "lstrip_blocks=True,",
        "lstrip_blocks=False,",
    ): "in no template a line begins with blanks before a block",
    (
        "staging_api/ui/screens/locks.py",
        "newest = deps.api.stagings.page(limit=1, only=only).items",
        "newest = deps.api.stagings.page(limit=2, only=only).items",
    ): "only the newest is shown, which comes first",
    (
        "staging_api/ui/small_pages.py",
        "newest = self._deps.api.stagings.page(limit=1, only=only).items",
        "newest = self._deps.api.stagings.page(limit=2, only=only).items",
    ): "only the state of the newest is drawn, which comes first",
    (
        "staging_api/ui/lanes.py",
        (
            "return Block(kind, x, round(min(width, _WIDTH - x + _LEAST_WIDTH), 1),"
            ' f"{kind} {lasted}")'
        ),
        (
            "return Block(kind, x, round(min(width, _WIDTH - x + _LEAST_WIDTH), 2),"
            ' f"{kind} {lasted}")'
        ),
    ): "a difference of places with one digit has no second: both round to the same number",
    (
        "staging_api/store/folder_store.py",
        "_MARKER_BYTES = 100",
        "_MARKER_BYTES = 101",
    ): "a marker has 27 bytes at most: of a longer file both lengths are no marker",
    (
        "staging_api/embedded_postgres/unprivileged.py",
        "failed = 1",
        "failed = 2",
    ): "the child ended badly: any status but 0 says so",
    (
        "staging_api/store/bucket.py",
        "READ_BYTES = 1 << 20",
        "READ_BYTES = 2 << 20",
    ): "size of one read: the bytes read in total are the same",
    (
        "staging_api/store/bucket.py",
        "READ_BYTES = 1 << 20",
        "READ_BYTES = 1 << 21",
    ): "size of one read: the bytes read in total are the same",
    (
        "staging_api/store/bucket_objects.py",
        "return pools_by(proxy, maxsize=16)",
        "return pools_by(proxy, maxsize=17)",
    ): "number of idle connections kept: only the time differs",
    (
        "staging_api/store/bucket_store.py",
        'return next(self._objects.listed("sha256", chunk_size=1), None) is None',
        'return next(self._objects.listed("sha256", chunk_size=2), None) is None',
    ): "only the existence of one more is checked, not the number",
    (
        "staging_api/store/disk.py",
        "_COMPARED_BYTES = 1 << 20",
        "_COMPARED_BYTES = 2 << 20",
    ): "size of one read: the bytes compared in total are the same",
    (
        "staging_api/store/disk.py",
        "_COMPARED_BYTES = 1 << 20",
        "_COMPARED_BYTES = 1 << 21",
    ): "size of one read: the bytes compared in total are the same",
    (
        "staging_api/store/disk.py",
        "_ZEROS = bytes(1 << 20)",
        "_ZEROS = bytes(1 << 21)",
    ): "both are at least as long as the longest chunk, and cut to the chunk's length",
    (
        "staging_api/publishing/key_agent.py",
        "at = 0",
        "at = 1",
    ): "an expression begins with a parenthesis, which is skipped",
    (
        "staging_api/publishing/signing.py",
        "@lru_cache(maxsize=16)",
        "@lru_cache(maxsize=17)",
    ): "number of kept entries: only the time differs",
    (
        "staging_api/publishing/signing.py",
        'with ThreadPoolExecutor(1, "gpg") as other:',
        'with ThreadPoolExecutor(2, "gpg") as other:',
    ): "a thread is started for a call that is handed over, and one is",
    (
        "staging_api/publishing/run_model.py",
        "class RunFilter(TypedDict, total=False):",
        "class RunFilter(TypedDict, total=True):",
    ): "required members of a dictionary matter only to the type checker",
}
