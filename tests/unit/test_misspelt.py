"""Misspelt settings in the environment, as opposed to other programs' variables."""

import logging

import pytest

from staging_api.misspelt import misspelt

SETTINGS = ("workers", "tokens_file", "tokens_files", "sources", "bind")


def found(*variables: str, value: str = "1") -> list[tuple[str, str]]:
    environment = dict.fromkeys(variables, value)
    return [(each.field, each.message) for each in misspelt(environment, "STAGING_", SETTINGS)]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("STAGING_WROKERS", "STAGING_WORKERS"),
        ("staging_worker", "STAGING_WORKERS"),
        ("STAGING_TOKEN_FILE", "STAGING_TOKENS_FILE"),
        ("STAGING_TOKENS_FILS", "STAGING_TOKENS_FILES"),
        # Names of other programs; a URL if Kubernetes set it.
        ("STAGING_PORT", "STAGING_BIND"),
    ],
)
def test_what_is_like_a_setting_is_named_with_the_likest(variable: str, meant: str) -> None:
    message = f"is not a setting; did you mean {meant}?"
    assert found("STAGING_SOURCES", variable, "PATH") == [(variable, message)]


@pytest.mark.parametrize(
    "variable",
    [
        *("STAGING_WORKERS", "staging_sources", "WORKER", "PATH"),
        # Variables of the client, of tests and of hooks.
        *("STAGING_SERVER", "STAGING_TOKEN", "STAGING_TEST_WORKER", "STAGING_SUITES"),
        # Variables of Kubernetes, for Services named staging and staging-workers.
        *("STAGING_SERVICE_HOST", "STAGING_PORT_80_TCP_ADDR"),
        "STAGING_WORKERS_SERVICE_PORT_HTTP",
    ],
)
def test_settings_and_what_others_set_are_left_alone(
    variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert found(variable) == []
    assert caplog.text == ""


@pytest.mark.parametrize("variable", ["STAGING_PORT", "STAGING_WORKERS_PORT"])
def test_urls_of_services_of_kubernetes_are_left_alone(
    variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert found(variable, value="tcp://10.0.0.7:8080") == []
    assert caplog.text == ""


def test_what_is_like_no_setting_is_said_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert found("STAGING_OF_THE_NEXT_VERSION", "OTHER") == []
    assert [each.getMessage() for each in caplog.records] == [
        "STAGING_OF_THE_NEXT_VERSION is not a setting of this version, and is ignored"
    ]
