"""Plugin of pytest under ``coverage run``: records which test ran a line, and each test's duration.

Code that a test runs in another process is not recorded.
"""

import sqlite3

import coverage
import pytest

_seconds: dict[str, float] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Switch the record to this test; code of its file's fixtures counts for the first test."""
    record = coverage.Coverage.current()
    if record is not None:
        record.switch_context(item.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record the duration of a test's phase; a set-up belongs to its file, and is counted once."""
    if report.when == "call":
        _seconds[report.nodeid] = report.duration


def pytest_sessionfinish() -> None:
    """Add the duration of each test to the record."""
    record = coverage.Coverage.current()
    if record is None:
        return
    record.save()
    with sqlite3.connect(record.get_data().data_filename()) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS test_seconds (test PRIMARY KEY, seconds)")
        conn.executemany("INSERT OR REPLACE INTO test_seconds VALUES (?, ?)", _seconds.items())
