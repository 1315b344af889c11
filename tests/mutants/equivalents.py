"""Mutants without an observable effect: the file, the line before and after, and the reason.

Equivalents of the lock's predicates are in `tests.prove.equivalents`.
"""

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "staging_api/staging/transfer.py",
        "with transfer.store.parts.open(key, source_object.size_bytes or 0) as parts:",
        "with transfer.store.parts.open(key, source_object.size_bytes or 1) as parts:",
    ): "only what has a length has a key",
    (
        "staging_api/publishing/phases.py",
        "_ACCEPTED_AT_ONCE = 200",
        "_ACCEPTED_AT_ONCE = 201",
    ): "how many are accepted at once, each by itself: all are, in the end",
    (
        "staging_api/publishing/phases.py",
        "_PUBLISHED_AT_ONCE = 500",
        "_PUBLISHED_AT_ONCE = 501",
    ): "how many are published at once: all are, in the end; how soon a phase is shown is time",
    (
        "staging_api/publishing/suite_publishing.py",
        "many: int = 1000",
        "many: int = 1001",
    ): "from how many packages on statistics are renewed: only the time of plans differs",
    (
        "staging_api/publishing/sent_packages.py",
        "return read_dsc(opened.read(MAX_DSC_BYTES + 1))",
        "return read_dsc(opened.read(MAX_DSC_BYTES + 2))",
    ): "one byte too many is enough to be refused, and the bytes of a refused one are not kept",
    (
        "staging_api/publishing/apt_archives.py",
        "conn, archive_id, limit=1, publication_id=publication_id",
        "conn, archive_id, limit=2, publication_id=publication_id",
    ): "one package has the number that is asked for",
    (
        "staging_api/staging/housekeeping.py",
        "again = _FIRST_RETRY_SECONDS * 2.0 ** min(step.failures - 1, 20)",
        "again = _FIRST_RETRY_SECONDS * 2.0 ** min(step.failures - 1, 21)",
    ): "either is far beyond the longest pause, which is taken then",
    (
        "staging_api/staging/worker.py",
        "self._served = 0",
        "self._served = 1",
    ): "turns are only compared, and the first is later than none",
    (
        "staging_api/staging/worker.py",
        "self._served += 1",
        "self._served += 2",
    ): "turns are only compared",
    (
        "staging_api/db/functions/staging_settle.sql",
        "LIMIT 1;",
        "LIMIT 2;",
    ): "SELECT ... INTO takes the first row, and leaves the others",
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
    ): "says when what a mapping holds is made, not what; no entry may hold itself",
    (
        "staging_api/identity/tokens.py",
        "super().__init__()",
        "pass",
    ): "only its line is read; how it would show itself is not",
    (
        "staging_api/processes/slow_clients.py",
        "def begin(self, client: socket.socket, size_bytes: int = 0) -> None:",
        "def begin(self, client: socket.socket, size_bytes: int = 1) -> None:",
    ): "the time for one byte, which is thousandths of a second",
    (
        "staging_api/logs.py",
        "return any(sign in small for sign in _SIGNS)",
        "return any(sign not in small for sign in _SIGNS)",
    ): "a look before the patterns, which then replace the same: only the time differs",
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
    ): "how much a process remembers: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "REMEMBERED_BYTES = 128 << 20",
        "REMEMBERED_BYTES = 128 << 21",
    ): "how much a process remembers: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "_REMEMBERED_FILES = 2000",
        "_REMEMBERED_FILES = 2001",
    ): "how much a process remembers: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "_REMEMBERED_LAYOUTS = 200",
        "_REMEMBERED_LAYOUTS = 201",
    ): "how much a process remembers: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "_REMEMBERED_ENTRY_BYTES = 16 << 20",
        "_REMEMBERED_ENTRY_BYTES = 17 << 20",
    ): "how much a process remembers: only time and memory differ",
    (
        "staging_api/publishing/pieces.py",
        "_REMEMBERED_ENTRY_BYTES = 16 << 20",
        "_REMEMBERED_ENTRY_BYTES = 16 << 21",
    ): "how much a process remembers: only time and memory differ",
    (
        "staging_api/publishing/indices.py",
        "@lru_cache(maxsize=16_384)",
        "@lru_cache(maxsize=16385)",
    ): "how much a process remembers: only time and memory differ",
    (
        "staging_api/publishing/block_writer.py",
        '_POOL = ThreadPoolExecutor(2, "compress")',
        '_POOL = ThreadPoolExecutor(3, "compress")',
    ): "how many blocks are compressed at once: only the time differs",
    (
        "staging_api/misspelt.py",
        "if likely := get_close_matches(_MEANT.get(name, name), known, 1, _LIKENESS):",
        "if likely := get_close_matches(_MEANT.get(name, name), known, 2, _LIKENESS):",
    ): "the likeliest comes first, and alone is named",
    (
        "staging_api/name_table.py",
        "MOST_IN_MEMORY = 100_000",
        "MOST_IN_MEMORY = 100001",
    ): "from how many names on a table has a file: only time and memory differ",
    (
        "staging_api/name_table.py",
        'file.execute(f"PRAGMA {setting}")',
        "pass",
    ): "the file goes with its process: its settings only save time",
    (
        "staging_api/name_table.py",
        'file.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")',
        "pass",
    ): "how much of the file is in memory: only the time differs",
    (
        "staging_api/name_table.py",
        "_CACHE_KIB = 8 << 10",
        "_CACHE_KIB = 9 << 10",
    ): "how much of the file is in memory: only the time differs",
    (
        "staging_api/name_table.py",
        "_CACHE_KIB = 8 << 10",
        "_CACHE_KIB = 8 << 11",
    ): "how much of the file is in memory: only the time differs",
    (
        "staging_api/logs.py",
        "handler = root.handlers[0] if len(root.handlers) == 1 else None",
        "handler = root.handlers[0] if len(root.handlers) != 1 else None",
    ): "a line goes the longer way, and is the same: only the time differs",
    (
        "staging_api/logs.py",
        "handler = root.handlers[0] if len(root.handlers) == 1 else None",
        "handler = root.handlers[0] if len(root.handlers) == 2 else None",
    ): "a line goes the longer way, and is the same: only the time differs",
    (
        "staging_api/open_streams.py",
        "self._wake_up = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)",
        "self._wake_up = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)",
    ): "the thread is woken once, and finds that there is nothing to do",
    (
        "staging_api/name_table.py",
        "_GROUP = 5000",
        "_GROUP = 5001",
    ): "how many names are written at once: only the time differs",
    (
        "staging_api/open_stream.py",
        "return self._sock.fileno() if self._sock is not None else -1",
        "return self._sock.fileno() if self._sock is not None else -2",
    ): "any number below 0 says that there is no connection",
    (
        "staging_api/open_streams.py",
        "os.eventfd_write(self._wake_up, 1)",
        "os.eventfd_write(self._wake_up, 2)",
    ): "any number wakes the thread, which reads it and looks at nothing of it",
    (
        "staging_api/staging/record.py",
        "_TICK = timedelta(milliseconds=1)",
        "_TICK = timedelta(milliseconds=2)",
    ): "stagings of the next millisecond are read, too, and their breaks left out",
    (
        "staging_api/store/disk.py",
        "_sync_file_system(paths[0])",
        "_sync_file_system(paths[1])",
    ): "any of them is of the one file system",
    (
        "staging_api/store/bucket_objects.py",
        'def listed(self, prefix: str, chunk_size: int = 50) -> Iterator["ObjectMeta"]:',
        'def listed(self, prefix: str, chunk_size: int = 51) -> Iterator["ObjectMeta"]:',
    ): "how many objects a page has, which are handed on one by one",
    (
        "staging_api/store/disk.py",
        "_ZEROS = bytes(1 << 20)",
        "_ZEROS = bytes(2 << 20)",
    ): "as long as the longest chunk, or longer: it is cut to the chunk's length",
    (
        "staging_api/traces.py",
        'words = statement.split(maxsplit=1) or ["statement"]',
        'words = statement.split(maxsplit=2) or ["statement"]',
    ): "the first word alone is looked at",
    (
        "staging_api/log_writer.py",
        "self._will_be_written = True",
        "self._will_be_written = False",
    ): "the thread is woken once more, and finds the same lines",
    (
        "staging_api/client/transport.py",
        "redirect=False,",
        "redirect=True,",
    ): "its pool retries nothing, and so follows nothing",
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
    ): "says when the checks are made, not which",
    (
        "staging_api/open_streams.py",
        "writes = select.EPOLLOUT if stream.waits else 0",
        "writes = select.EPOLLOUT if stream.waits else 1",
    ): "1 is EPOLLIN, which is wanted anyway",
    (
        "staging_api/shutdown.py",
        "self._shared = mmap.mmap(-1, 1)",
        "self._shared = mmap.mmap(-1, 2)",
    ): "of the memory one byte is used",
    (
        "staging_api/store/spool.py",
        "folder = self._tmp / owner / token_hex(8)",
        "folder = self._tmp / owner / token_hex(9)",
    ): "a longer name that nobody else chooses",
    (
        "staging_api/processes/request_heads.py",
        "_READ_BYTES = 16 << 10",
        "_READ_BYTES = 17 << 10",
    ): "how much is read at once: what is read in all is the same",
    (
        "staging_api/processes/request_heads.py",
        "_READ_BYTES = 16 << 10",
        "_READ_BYTES = 16 << 11",
    ): "how much is read at once: what is read in all is the same",
    (
        "staging_api/processes/request_heads.py",
        'words = bytes(self.head[:256]).split(b" ", 2)',
        'words = bytes(self.head[:256]).split(b" ", 3)',
    ): "only the second word is taken, which ends at the second space either way",
    (
        "staging_api/formats/zip.py",
        "_WORTH_A_THREAD = 1 << 20",
        "_WORTH_A_THREAD = 2 << 20",
    ): "from which size on a thread helps: only the time differs",
    (
        "staging_api/devserver/load.py",
        'if row[0] != "lo:" and row[1].isdigit():',
        'if row[0] != "lo:" and row[2].isdigit():',
    ): "the headings have no number there either, and each interface has one",
    (
        "staging_api/http/addresses.py",
        "@lru_cache(maxsize=1024)",
        "@lru_cache(maxsize=1025)",
    ): "how many are kept: only the time differs",
    (
        "staging_api/http/bodies.py",
        'model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)',
        'model_config = ConfigDict(defer_build=False, extra="forbid", frozen=True)',
    ): "says when the checks are made, not which",
    (
        "staging_api/http/handover.py",
        "_SMALL_BYTES = 64 << 10",
        "_SMALL_BYTES = 64 << 11",
    ): "whether the bytes are read here or by the kernel; the same ones are sent",
    (
        "staging_api/http/handover.py",
        "_SMALL_BYTES = 64 << 10",
        "_SMALL_BYTES = 65 << 10",
    ): "whether the bytes are read here or by the kernel; the same ones are sent",
    (
        "staging_api/http/idempotency.py",
        "if self.resp.status_code >= 300:  # noqa: PLR2004 - no success, RFC 9110",
        "if self.resp.status_code >= 301:  # noqa: PLR2004 - no success, RFC 9110",
    ): "no responder answers with 300",
    (
        "staging_api/http/known_answers.py",
        "_BYTES_BESIDE = 1000  # of the objects round a text",
        "_BYTES_BESIDE = 1001  # of the objects round a text",
    ): "how much a process keeps: only its time and its memory differ",
    (
        "staging_api/http/known_answers.py",
        "_LONGEST_BODY = 4096",
        "_LONGEST_BODY = 4097",
    ): "up to which length a body is looked up: only the time differs",
    (
        "staging_api/http/known_answers.py",
        "_MOST_ANSWERS, _ANSWER_BYTES = 10_000, 16 << 20",
        "_MOST_ANSWERS, _ANSWER_BYTES = 10001, 16 << 20",
    ): "how much a process keeps: only its time and its memory differ",
    (
        "staging_api/http/known_answers.py",
        "_MOST_REQUESTS, _REQUEST_BYTES = 10_000, 8 << 20",
        "_MOST_REQUESTS, _REQUEST_BYTES = 10001, 8 << 20",
    ): "how much a process keeps: only its time and its memory differ",
    (
        "staging_api/http/openapi.py",
        'def _add_model(self, model: type[BaseModel], mode: _Mode = "validation") -> str:',
        "def _add_model(self, model: type[BaseModel], mode: _Mode = 'other_validation') -> str:",
    ): "the library always says which",
    (
        "staging_api/http/origins.py",
        "@lru_cache(maxsize=256)",
        "@lru_cache(maxsize=257)",
    ): "how many are kept: only the time differs",
    (
        "staging_api/http/parameters.py",
        "if any(value != values[0] for value in values):",
        "if any(value != values[1] for value in values):",
    ): "by then all of them are equal, or one differs from either",
    (
        "staging_api/http/parameters.py",
        "params[name] = values[0]",
        "params[name] = values[1]",
    ): "by then all of them are equal, or one differs from either",
    (
        "staging_api/http/resources/configdocs/collections.py",
        "_CHUNK_BYTES = 1 << 20",
        "_CHUNK_BYTES = 1 << 21",
    ): "how much is read at once",
    (
        "staging_api/http/resources/configdocs/collections.py",
        "_CHUNK_BYTES = 1 << 20",
        "_CHUNK_BYTES = 2 << 20",
    ): "how much is read at once",
    (
        "staging_api/http/sending.py",
        "@lru_cache(maxsize=4096)",
        "@lru_cache(maxsize=4097)",
    ): "how many are kept: only the time differs",
    (
        "staging_api/metrics.py",
        "self._used = self._capacity = 0",
        "self._used = self._capacity = 1",
    ): "both are read only after the file is open, which sets them",
    (
        "staging_api/sources/model.py",
        "CHUNK_BYTES = 1 << 20",
        "CHUNK_BYTES = 1 << 21",
    ): "how much is read at once: what is read in all is the same",
    (
        "staging_api/sources/model.py",
        "CHUNK_BYTES = 1 << 20",
        "CHUNK_BYTES = 2 << 20",
    ): "how much is read at once: what is read in all is the same",
    (
        "staging_api/sources/url.py",
        "@lru_cache(maxsize=1024)",
        "@lru_cache(maxsize=1025)",
    ): "how many are kept: only the time differs",
    (
        "staging_api/documents/paths.py",
        "@lru_cache(maxsize=4096)",
        "@lru_cache(maxsize=4097)",
    ): "how many are kept: only the time differs",
    (
        "staging_api/documents/patterns.py",
        "@lru_cache(maxsize=2048)",
        "@lru_cache(maxsize=2049)",
    ): "how many are kept: only the time differs",
    (
        "staging_api/documents/validators.py",
        "raw = answer.read(_MAX_ANSWER_BYTES + 1)",
        "raw = answer.read(_MAX_ANSWER_BYTES + 2)",
    ): "one byte beyond the limit is refused, and so are two",
    (
        "staging_api/sources/http.py",
        "if exact and (left or answer.read1(1)):",
        "if exact and (left or answer.read1(2)):",
    ): "whether anything comes is looked at, not how much",
    (
        "staging_api/sources/manifest.py",
        "unpacked = zlib.decompressobj(_GZIP_WINDOW).decompress(raw, MAX_BYTES + 1)",
        "unpacked = zlib.decompressobj(_GZIP_WINDOW).decompress(raw, MAX_BYTES + 2)",
    ): "one byte beyond the limit is refused, and so are two",
    (
        "staging_api/sources/manifest.py",
        '_GZIP, _GZIP_WINDOW, _PACKED_NAMES = b"\\x1f\\x8b", 31, (".gz", ".tgz")',
        '_GZIP, _GZIP_WINDOW, _PACKED_NAMES = b"\\x1f\\x8b", 32, (".gz", ".tgz")',
    ): "zlib then takes its own header as well, and here all data begins as that of gzip does",
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
    ): "how much is read at once: what is read in all is the same",
    (
        "staging_api/sources/bucket_pages.py",
        "_CHUNK_BYTES = 64 << 10",
        "_CHUNK_BYTES = 64 << 11",
    ): "how much is read at once: what is read in all is the same",
    (
        "staging_api/documents/rotation.py",
        "_AT_ONCE = 100",
        "_AT_ONCE = 101",
    ): "how many are looked up at once: all are, in the end",
    (
        "staging_api/documents/validation/cpu_budget.py",
        "_STEPS = 16",
        "_STEPS = 17",
    ): "how often the clock is looked at",
    (
        "staging_api/documents/validation/cpu_budget.py",
        "self._steps = 0",
        "self._steps = 1",
    ): "how often the clock is looked at",
    (
        "staging_api/documents/validation/cpu_budget.py",
        "self._steps += 1",
        "self._steps += 2",
    ): "how often the clock is looked at",
    (
        "staging_api/documents/validation/cpu_budget.py",
        "if self._steps % _STEPS == 0:",
        "if self._steps % _STEPS == 1:",
    ): "how often the clock is looked at",
    (
        "staging_api/documents/validation/checks.py",
        "_SCHEMAS_KEPT = 1_000",
        "_SCHEMAS_KEPT = 1001",
    ): "how many are kept: only the time differs",
    (
        "staging_api/documents/validation/checks.py",
        "_VERDICTS_KEPT = 100_000",
        "_VERDICTS_KEPT = 100001",
    ): "how many are kept: only the time differs",
    (
        "staging_api/sources/origin.py",
        'return urlsplit(f"//{url.authority}").port or SCHEMES[url.scheme].default_port or 0',
        'return urlsplit(f"//{url.authority}").port or SCHEMES[url.scheme].default_port or 1',
    ): "http and https have a port of their own",
    (
        "staging_api/sources/origin.py",
        "_CONNECTIONS = 8",
        "_CONNECTIONS = 9",
    ): "how many connections are kept: only the time differs",
    (
        "staging_api/debian/xz.py",
        'HEADER = lzma.compress(b"", check=lzma.CHECK_CRC32, preset=0)[:_HEADER_BYTES]',
        'HEADER = lzma.compress(b"", check=lzma.CHECK_CRC32, preset=1)[:_HEADER_BYTES]',
    ): "the header is the same at each level",
    (
        "staging_api/debian/forms.py",
        "_PIECE_BYTES = 1 << 20",
        "_PIECE_BYTES = 2 << 20",
    ): "how much is unpacked at once: the limit is looked at after each piece",
    (
        "staging_api/debian/forms.py",
        "_PIECE_BYTES = 1 << 20",
        "_PIECE_BYTES = 1 << 21",
    ): "how much is unpacked at once: the limit is looked at after each piece",
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
    ): "the format has dictionaries of 64 and of 96 MiB, and none between",
    (
        "staging_api/formats/zip_directory.py",
        "_SIZES_FOLLOW = 0x0008",
        "_SIZES_FOLLOW = 9",
    ): "the further bit is of an encrypted member, whose local header is not read",
    (
        "staging_api/store/parts.py",
        "own = folder / token_hex(8)",
        "own = folder / token_hex(9)",
    ): "a longer name that nobody else chooses",
    (
        "staging_api/embedded_postgres/cluster.py",
        "data.parent.mkdir(mode=0o700, exist_ok=True)",
        "pass",
    ): "initdb makes the folder above its own with the same mode and owner",
    (
        "staging_api/embedded_postgres/supervisor.py",
        "os._exit(0)",
        "os._exit(1)",
    ): "who waits for the parent that detaches does not look at how it ended",
    (
        "staging_api/staging/eviction.py",
        "_FIRST_LOOK = 1000",
        "_FIRST_LOOK = 1001",
    ): "what is planned is the first that are enough, of however many were looked at",
    (
        "staging_api/staging/eviction.py",
        "limit *= 4  # each look begins anew, so few large steps cost less than many small ones",
        "limit *= 5  # each look begins anew, so few large steps cost less than many small ones",
    ): "what is planned is the first that are enough, of however many were looked at",
    (
        "staging_api/staging/files.py",
        "found = folder_rows.served_below(conn, folder, _MOST_FILES + 1)",
        "found = folder_rows.served_below(conn, folder, _MOST_FILES + 2)",
    ): "one more row is read of what is refused",
    (
        "staging_api/staging/repository/count_rows.py",
        '_FIRST_EVENT = text("SELECT at FROM staging_events ORDER BY id LIMIT 1")',
        '_FIRST_EVENT = text("SELECT at FROM staging_events ORDER BY id LIMIT 2")',
    ): "the first row is taken, and the other left",
    (
        "staging_api/staging/repository/reading.py",
        "WHERE s.finished_at IS NULL AND (s.state = 'foreground_staged') = class.background",
        (
            "WHERE true OR s.finished_at IS NULL AND (s.state = 'foreground_staged')"
            " = class.background"
        ),
    ): "callers come in order: one without anything due is only asked for in vain",
    (
        "staging_api/staging/assembly.py",
        "self._further.pop(further)",
        "pass",
    ): "whatever comes to this path next writes its own entry, or removes this one",
    (
        "staging_api/staging/repository/reading.py",
        ".limit(1)",
        ".limit(2)",
    ): "the first is taken of those that are read, in the order of the query",
    (
        "staging_api/staging/repository/reading.py",
        "ORDER BY q.cancel_requested, q.staging_id LIMIT 1",
        "ORDER BY q.cancel_requested, q.staging_id LIMIT 2",
    ): "the first is taken of those that are read, in the order of the query",
    (
        "staging_api/staging/repository/upload_rows.py",
        "RETURNING true",
        "RETURNING false",
    ): "whether there is a row is what counts, not what it has",
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
    ): "the newest comes first, and alone is shown",
    (
        "staging_api/ui/small_pages.py",
        "newest = self._deps.api.stagings.page(limit=1, only=only).items",
        "newest = self._deps.api.stagings.page(limit=2, only=only).items",
    ): "the newest comes first, and its state alone is drawn",
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
    ): "how much is read at once: what is read in all is the same",
    (
        "staging_api/store/bucket.py",
        "READ_BYTES = 1 << 20",
        "READ_BYTES = 1 << 21",
    ): "how much is read at once: what is read in all is the same",
    (
        "staging_api/store/bucket_objects.py",
        "return pools_by(proxy, maxsize=16)",
        "return pools_by(proxy, maxsize=17)",
    ): "how many connections are kept: only the time differs",
    (
        "staging_api/store/bucket_store.py",
        'return next(self._objects.listed("sha256", chunk_size=1), None) is None',
        'return next(self._objects.listed("sha256", chunk_size=2), None) is None',
    ): "whether there is one is looked at, not how many more",
    (
        "staging_api/store/disk.py",
        "_COMPARED_BYTES = 1 << 20",
        "_COMPARED_BYTES = 2 << 20",
    ): "how much is read at once: what is compared in all is the same",
    (
        "staging_api/store/disk.py",
        "_COMPARED_BYTES = 1 << 20",
        "_COMPARED_BYTES = 1 << 21",
    ): "how much is read at once: what is compared in all is the same",
    (
        "staging_api/store/disk.py",
        "_ZEROS = bytes(1 << 20)",
        "_ZEROS = bytes(1 << 21)",
    ): "as long as the longest chunk, or longer: it is cut to the chunk's length",
    (
        "staging_api/publishing/key_agent.py",
        "at = 0",
        "at = 1",
    ): "an expression begins with a parenthesis, which is passed over",
    (
        "staging_api/publishing/signing.py",
        "@lru_cache(maxsize=16)",
        "@lru_cache(maxsize=17)",
    ): "how many are kept: only the time differs",
    (
        "staging_api/publishing/signing.py",
        'with ThreadPoolExecutor(1, "gpg") as other:',
        'with ThreadPoolExecutor(2, "gpg") as other:',
    ): "a thread is started for a call that is handed over, and one is",
    (
        "staging_api/publishing/run_model.py",
        "class RunFilter(TypedDict, total=False):",
        "class RunFilter(TypedDict, total=True):",
    ): "which members a dictionary has to have is for the type checker alone",
}
