"""Entry modules: ``python -m staging_api``, and the module that a WSGI server imports."""

import gc
import runpy
from typing import Any

import pytest

from staging_api import cli
from staging_api.processes import application, bootstrap


def test_the_module_runs_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(cli, "main", lambda: ran.append("main"))
    runpy.run_module("staging_api")
    assert ran == ["main"]


def test_garbage_is_looked_for_again_once_the_application_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    def build(_settings: object) -> str:
        done.append("build")
        return "services"

    def wsgi_of(services: Any) -> tuple[str, Any]:
        return "application of", services

    for name in ("disable", "freeze", "enable"):
        monkeypatch.setattr(gc, name, lambda name=name: done.append(name))
    monkeypatch.setattr(bootstrap, "build", build)
    monkeypatch.setattr(application, "wsgi_of", wsgi_of)
    made = runpy.run_module("staging_api.wsgi")
    assert made["app"] == ("application of", "services")
    assert done == ["disable", "build", "freeze", "enable"]
