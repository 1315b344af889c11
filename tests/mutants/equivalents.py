"""Changes that change nothing that could be seen: the file, the line before and after, and why.

Those of the lock's predicates are in `tests.prove.equivalents`.
"""

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "staging_api/db/functions/staging_settle.sql",
        "LIMIT 1;",
        "LIMIT 2;",
    ): "SELECT ... INTO takes the first row, and leaves the others",
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
}
