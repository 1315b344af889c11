"""A plugin of pytest under ``coverage run``: the record says which test file ran a line."""

import coverage
import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name the file from here on; what module fixtures run belongs to it, too."""
    record = coverage.Coverage.current()
    if record is not None:
        record.switch_context(item.nodeid.partition("::")[0])
