"""Changes that change nothing that could be seen: the file, the line before and after, and why.

Those of the lock's predicates are in `tests.prove.equivalents`.
"""

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "staging_api/db/functions/staging_settle.sql",
        "LIMIT 1;",
        "LIMIT 2;",
    ): "SELECT ... INTO takes the first row, and leaves the others",
}
