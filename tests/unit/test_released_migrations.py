"""Released migrations: never renumbered or edited, because databases have already run them."""

import hashlib
from pathlib import Path

from staging_api.db.migrate import revisions

TESTS = Path(__file__).parents[1]
#: In the form of sha256sum. A release adds its migrations: `cd migrations && sha256sum FILES`.
RELEASED = TESTS / "released_migrations.sha256"
MIGRATIONS = TESTS.parent / "migrations"


def released() -> dict[str, str]:
    """Return the digest of each released file, by its name below ``migrations``."""
    lines = (line.split() for line in RELEASED.read_text().splitlines())
    return {name: digest for digest, name in lines}


def test_no_released_migration_was_edited_renamed_or_removed():
    files = {name: MIGRATIONS / name for name in released()}
    found = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
        for name, path in files.items()
    }
    assert found == released()


def test_the_line_begins_with_the_released_steps_and_has_no_gap():
    numbers = [name[9:13] for name in released() if name.startswith("versions/")]
    assert revisions()[: len(numbers)] == tuple(numbers)
    assert revisions() == tuple(f"{n:04}" for n in range(1, len(revisions()) + 1))
