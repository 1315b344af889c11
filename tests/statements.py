"""Replacements of staging statements, for tests without a database."""

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
    """Replace the statement with this name by `does`, in the one module that defines it."""
    (module,) = (
        each
        for each in _MODULES
        if getattr(getattr(each, name, None), "__module__", None) == each.__name__
    )
    monkeypatch.setattr(module, name, does)
