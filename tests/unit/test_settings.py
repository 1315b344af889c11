"""Settings: parsing from an environment, and contradictory combinations."""

import os

import pytest

from staging_api.errors import Invalid
from staging_api.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("STAGING_")]:
        monkeypatch.delenv(name)


def test_what_is_set_counts_what_is_chosen_counts_more_and_the_others_are_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STAGING_THREADS", "40")
    monkeypatch.setenv("staging_workers", "3")
    settings = Settings.from_env(threads=50)
    assert (settings.threads, settings.workers) == (50, 3)
    fields = Settings.model_fields
    assert settings.hook_seconds == fields["hook_seconds"].default
    assert Settings.from_env().threads == 40


def test_what_is_not_set_is_of_the_same_type_as_what_is_set() -> None:
    assert isinstance(Settings.from_env().statement_seconds, float)
    assert isinstance(Settings.from_env(statement_seconds="40").statement_seconds, float)


def test_an_empty_path_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = Settings.model_fields
    paths = [name for name in fields if "Path" in str(fields[name].annotation)]
    assert {"home", "hooks", "sources_ca_file", "keystone_config"} < set(paths)
    for name in (*paths, "sources_manifest"):
        monkeypatch.setenv(f"STAGING_{name.upper()}", "")
    settings = Settings.from_env()
    for name in paths:
        assert getattr(settings, name) == fields[name].default
    assert settings.sources_manifest == ""


def test_all_that_is_wrong_is_said_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGING_THRAEDS", "40")
    monkeypatch.setenv("STAGING_WORKERS", "many")
    monkeypatch.setenv("STAGING_THREADS", "8")
    with pytest.raises(Invalid) as refused:
        Settings.from_env(long_requests=8)
    told = {each.field: each.message for each in refused.value.errors}
    assert set(told) == {"STAGING_THRAEDS", "STAGING_WORKERS", "STAGING_LONG_REQUESTS"}
    assert told["STAGING_LONG_REQUESTS"].startswith("must be less than STAGING_THREADS")
    assert all(f"{name}: {message}" in str(refused.value) for name, message in told.items())


def test_fewer_long_requests_than_threads_leave_one_for_the_others() -> None:
    assert Settings.from_env(threads=8, long_requests=7).long_requests == 7
    for long_requests in (8, 9):
        with pytest.raises(Invalid, match="STAGING_LONG_REQUESTS: must be less"):
            Settings.from_env(threads=8, long_requests=long_requests)


def test_of_threads_that_are_wrong_only_that_is_said() -> None:
    with pytest.raises(Invalid) as refused:
        Settings.from_env(threads="many", long_requests=1000)
    assert [each.field for each in refused.value.errors] == ["STAGING_THREADS"]


@pytest.mark.parametrize("level", ["skip", "Info", "WARNING", "error"])
def test_the_level_of_a_finding_is_read_in_any_case(level: str) -> None:
    settings = Settings.from_env(documents_deployment_version=level)
    assert settings.documents_deployment_version == level.lower()


@pytest.mark.parametrize("level", ["fatal", 1, None])
def test_another_level_of_a_finding_is_refused(level: object) -> None:
    with pytest.raises(Invalid, match="STAGING_DOCUMENTS_DEPLOYMENT_VERSION"):
        Settings.from_env(documents_deployment_version=level)
