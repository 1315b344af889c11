"""Environment: read by one file, which passes on what others need."""

import re
from pathlib import Path

import pytest

import staging_api
from staging_api import environment

PACKAGE = Path(staging_api.__file__).parent
_READS = re.compile(
    r"\b(os\.(environb?|getenvb?|putenv)|getproxies(_\w+)?|import (environ|getenv))\b"
)
_DECLARES = re.compile(r"\benvvar=")


def files_with(what: re.Pattern[str]) -> set[str]:
    return {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if what.search(path.read_text())
    }


def test_one_file_reads_the_environment() -> None:
    assert files_with(_READS) == {"environment.py"}


def test_one_file_declares_options_that_may_be_variables() -> None:
    assert files_with(_DECLARES) == {"cli/options.py"}


def test_a_client_is_told_of_its_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGING_TOKEN", raising=False)
    monkeypatch.delenv("STAGING_SERVER", raising=False)
    assert environment.chosen_service("http://here") == ("http://here", None)
    monkeypatch.setenv("STAGING_SERVER", "http://there")
    monkeypatch.setenv("STAGING_TOKEN", "abc")
    assert environment.chosen_service("http://here") == ("http://there", "abc")


def test_where_a_bucket_is_comes_from_the_variables_of_its_own_tools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
    for name in (*endpoints, "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert environment.bucket_options("s3") == {}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert environment.bucket_options("s3") == {"region": "eu-west-1"}
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    for name in endpoints:  # each overrides those above it
        monkeypatch.setenv(name, f"http://{name}.here")
        found = {"endpoint": f"http://{name}.here", "region": "eu-west-2"}
        assert environment.bucket_options("s3") == found
    monkeypatch.setenv("GOOGLE_BASE_URL", "http://gcs.here")
    assert environment.bucket_options("gs") == {"endpoint": "http://gcs.here"}


def test_sockets_of_systemd_are_those_of_this_process_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert not environment.has_sockets_of_systemd()
    monkeypatch.setenv("LISTEN_PID", "1")
    assert not environment.has_sockets_of_systemd()
    monkeypatch.setattr("os.getpid", lambda: 1)
    assert environment.has_sockets_of_systemd()
