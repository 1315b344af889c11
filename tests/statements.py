"""Stand-ins for statements on stagings, for tests without a database."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest

from staging_api.staging import repository

_MODULES = [
    import_module(f"{repository.__name__}.{each.name}")
    for each in iter_modules(repository.__path__)
]


def patch_statement(monkeypatch: pytest.MonkeyPatch, name: str, does: Any) -> None:
    """Have `does` called in the place of the statement of this name, in the one module of it."""
    (module,) = (
        each
        for each in _MODULES
        if getattr(getattr(each, name, None), "__module__", None) == each.__name__
    )
    monkeypatch.setattr(module, name, does)
