"""Start of a process: mode of new files, state shared by forks, and the database."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api import about
from staging_api.errors import DatabaseUnusable, Unavailable
from staging_api.processes import run
from staging_api.settings import Settings

URL = "postgresql+psycopg2://x"


@pytest.mark.parametrize(("before", "after"), [(0o000, 0o027), (0o022, 0o027), (0o077, 0o077)])
def test_new_files_are_never_for_others_and_no_mask_becomes_wider(before: int, after: int) -> None:
    kept = os.umask(before)
    run.keep_from_others()
    assert os.umask(kept) == after


def test_forks_share_what_each_would_read_and_no_pass_looks_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    for owner, name in ((about, "package_version"), (about, "build")):
        monkeypatch.setattr(owner, name, lambda name=name: done.append(name))
    for name in ("collect", "freeze"):
        monkeypatch.setattr(gc, name, lambda name=name: done.append(name))
    run.prepare_forks()
    assert done == ["package_version", "build", "collect", "freeze"]


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Record the operations on databases, in order."""
    found: list[tuple[Any, ...]] = []

    @contextmanager
    def running(home: Path, binaries: Path | None) -> Iterator[Any]:
        found.append(("running", home, binaries))
        yield SimpleNamespace(url="postgresql+psycopg2://embedded")
        found.append(("ended",))

    def opened(url: str, size: int) -> Any:
        found.append(("opened", url, size))
        return SimpleNamespace(close=lambda: found.append(("closed",)))

    monkeypatch.setattr(run, "running", running)
    monkeypatch.setattr(run, "open_database", opened)
    monkeypatch.setattr(run, "check_schema", lambda _database: found.append(("checked",)))
    monkeypatch.setattr(run, "migrate", lambda url: found.append(("migrated", url)))
    return found


def test_the_schema_of_a_database_is_checked_and_never_changed(done: list[Any]) -> None:
    settings = Settings.from_env(database_url=URL)
    with run.database_of(settings) as found:
        assert done == [("opened", URL, 1), ("checked",), ("closed",)]
        assert found is settings


def test_a_database_whose_schema_is_refused_is_let_go(
    done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_database: Any) -> None:
        raise Unavailable("no")

    monkeypatch.setattr(run, "check_schema", refuse)
    with pytest.raises(Unavailable), run.database_of(Settings.from_env(database_url=URL)):
        pass
    assert done == [("opened", URL, 1), ("closed",)]


def test_without_one_the_embedded_is_migrated_and_used_as_long_as_needed(
    done: list[Any],
) -> None:
    settings = Settings.from_env(home=Path("/h"), postgres_binaries=Path("/b"))
    with run.database_of(settings) as found:
        assert found.database_url == "postgresql+psycopg2://embedded"
        assert done == [
            ("running", Path("/h"), Path("/b")),
            ("migrated", "postgresql+psycopg2://embedded"),
        ]
    assert done[2:] == [("ended",)]


@pytest.mark.parametrize("url", ["", URL])
def test_a_child_migrates_nothing_and_has_a_use_of_its_own(done: list[Any], url: str) -> None:
    settings = Settings.from_env(home=Path("/h"), database_url=url)
    found: list[str] = []
    run.run_below(lambda ready: found.append(ready.database_url), settings)
    assert found == [url or "postgresql+psycopg2://embedded"]
    assert done == ([] if url else [("running", Path("/h"), None), ("ended",)])


@pytest.mark.parametrize(("url", "made"), [("", False), ("", True), (URL, False)])
def test_a_verb_that_reads_refuses_a_home_without_a_database(
    done: list[Any], monkeypatch: pytest.MonkeyPatch, url: str, made: bool
) -> None:
    monkeypatch.setattr(run, "was_made", lambda home: made and home == Path("/h"))
    settings = Settings.from_env(home=Path("/h"), database_url=url)
    if url or made:
        with run.known_database_of(settings) as found:
            assert found.database_url == (url or "postgresql+psycopg2://embedded")
        assert done
        return
    with (
        pytest.raises(DatabaseUnusable, match=r"no database in /h: set STAGING_DATABASE_URL"),
        run.known_database_of(settings),
    ):
        pass
    assert done == []


def test_what_the_system_refuses_at_the_start_is_named_and_what_runs_fails_by_itself() -> None:
    @contextmanager
    def refused() -> Iterator[Settings]:
        raise OSError(24, "Too many open files")
        yield

    @contextmanager
    def there() -> Iterator[Settings]:
        yield Settings()

    def work(_settings: Settings) -> None:
        raise OSError(24, "Too many open files")

    with pytest.raises(Unavailable, match="cannot start"):
        run._run_with(refused(), work)
    with pytest.raises(OSError, match="Too many"):
        run._run_with(there(), work)
