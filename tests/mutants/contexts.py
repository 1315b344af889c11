"""A plugin of pytest under ``coverage run``: the record says which test ran a line, how long.

A test that a process is started for is recorded as far as it runs in this one.
"""

import sqlite3

import coverage
import pytest

_seconds: dict[str, float] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name the test from here on; what its file's fixtures run belongs to the first one."""
    record = coverage.Coverage.current()
    if record is not None:
        record.switch_context(item.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how long a phase of a test took; a set-up is of its file, and counted once."""
    if report.when == "call":
        _seconds[report.nodeid] = report.duration


def pytest_sessionfinish() -> None:
    """Add the seconds of each test to the record."""
    record = coverage.Coverage.current()
    if record is None:
        return
    record.save()
    with sqlite3.connect(record.get_data().data_filename()) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS test_seconds (test PRIMARY KEY, seconds)")
        conn.executemany("INSERT OR REPLACE INTO test_seconds VALUES (?, ?)", _seconds.items())
