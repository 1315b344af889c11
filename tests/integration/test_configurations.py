"""Invalid configurations: each verb exits with one line that names the variable."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from staging_api.cli import main
from staging_api.cli.exits import REFUSED
from staging_api.processes.children import REFUSED_STATUS, Children
from staging_api.settings import Settings
from tests import forked_command
from tests.service import free_port

_OIDC = {"AUTH": "oidc", "OIDC_ISSUER": "https://x", "OIDC_AUDIENCE": "a"}

#: Variable -> an invalid value, and the text of the line; {} is a folder of the test.
WRONG: Mapping[str, tuple[dict[str, str], str]] = {
    "catalogue with a wrong line": ({"CATALOGUE": "{}/bad.yaml"}, "STAGING_CATALOGUE: .*line 2"),
    "no catalogue": ({"CATALOGUE": "{}/none"}, "STAGING_CATALOGUE: .*cannot be read"),
    "a folder as catalogue": ({"CATALOGUE": "{}"}, "STAGING_CATALOGUE: .*cannot be read"),
    "not a number": ({"WORKERS": "many"}, "STAGING_WORKERS: .*integer"),
    "misspelt": ({"SORUCES": "gs://a/"}, "STAGING_SORUCES: .*did you mean STAGING_SOURCES?"),
    "plural": ({"TOKEN_FILE": "x"}, "STAGING_TOKEN_FILE: .*did you mean STAGING_TOKENS_FILE?"),
    "for everybody": ({"BIND": "0.0.0.0:8080"}, "STAGING_BIND: .*STAGING_AUTH_NONE_ANYWHERE"),
    "no port": ({"BIND": "127.0.0.1"}, "STAGING_BIND: .*must be address:port"),
    "another's address": ({"BIND": "192.0.2.1:8080", "AUTH_NONE_ANYWHERE": "yes"}, "listened on"),
    "no such host": (
        {"BIND": "localhost.invalid:80", "AUTH_NONE_ANYWHERE": "yes"},
        "STAGING_BIND: .*no address",
    ),
    "probes": ({"PROBES_BIND": "127.0.0.1:x"}, "STAGING_PROBES_BIND: .*address:port"),
    "no tokens": ({"AUTH": "tokens"}, "STAGING_TOKENS_FILE: must name"),
    "no tokens file": ({"AUTH": "tokens", "TOKENS_FILE": "{}/none"}, "STAGING_TOKENS_FILE: .*none"),
    "no issuer": ({"AUTH": "oidc"}, "STAGING_OIDC_ISSUER: must be set"),
    "a wrong rule": (
        {**_OIDC, "ROLE_RULES": "ci"},
        "STAGING_ROLE_RULES: 'ci'",
    ),
    "no authorities": (
        {**_OIDC, "OIDC_CA_FILE": "{}/bad.yaml"},
        "STAGING_OIDC_CA_FILE: .*no certificates",
    ),
    "a role": ({"AUTH": "tokens", "TOKENS_FILE": "{}/t", "ANONYMOUS_ROLES": "king"}, "'king'"),
    "a source": ({"SOURCES": "builds"}, "STAGING_SOURCES: "),
    "no keys of publishers": ({"REQUIRE_VERIFIED": "signature"}, "STAGING_VERIFY_KEYS: must name"),
    "no key": ({"VERIFY_KEYS": "{}/bad.yaml"}, "STAGING_VERIFY_KEYS: a key must be"),
    "a need": ({"REQUIRE_VERIFIED": "everything"}, "STAGING_REQUIRE_VERIFIED: .*one of digest"),
    "a store": ({"STORE": "ftp://x/y"}, "STAGING_STORE: must be"),
    "a store in a file": ({"STORE": "file://{}/bad.yaml/x"}, "STAGING_STORE: .*is a file"),
    "hooks": ({"HOOKS": "{}/none"}, "STAGING_HOOKS: .*not a folder"),
    "half of a key": ({"SIGNING_KEY": "A" * 40}, "STAGING_SIGNING_KEY: goes with"),
    "a program": ({"STACKWALK": "{}/bad.yaml"}, "STAGING_STACKWALK: .*not a program"),
    "a proxy": ({"TRUSTED_PROXIES": "ingress"}, "STAGING_TRUSTED_PROXIES: 'ingress'"),
    "metrics in no folder": ({"METRICS_DIR": "{}/none"}, "STAGING_METRICS_DIR: .*not a folder"),
    "metrics in a file": ({"METRICS_DIR": "{}/t"}, "STAGING_METRICS_DIR: .*not a folder"),
    "no signing home": (
        {"SIGNING_HOME": "{}/none", "SIGNING_KEY": "A" * 40},
        "STAGING_SIGNING_HOME: .*not a folder",
    ),
    "no binaries": ({"POSTGRES_BINARIES": "{}"}, "STAGING_POSTGRES_BINARIES: .*no program"),
    "no keys of documents": (
        {"DOCUMENTS_KEYS_FILE": "{}/none"},
        "STAGING_DOCUMENTS_KEYS_FILE: .*none cannot be read: No such file",
    ),
    "keys of documents in a pipe": (
        {"DOCUMENTS_KEYS_FILE": "{}/pipe"},
        "STAGING_DOCUMENTS_KEYS_FILE: .*pipe cannot be read: is not a file",
    ),
    "wrong keys of documents": (
        {"DOCUMENTS_KEYS_FILE": "{}/t"},
        "STAGING_DOCUMENTS_KEYS_FILE: line 1: the key must be 32 bytes",
    ),
    "no token for validators": (
        {"DOCUMENTS_VALIDATOR_TOKEN_FILE": "{}/none"},
        "STAGING_DOCUMENTS_VALIDATOR_TOKEN_FILE: .*No such file",
    ),
    "a token of two lines": (
        {"DOCUMENTS_VALIDATOR_TOKEN_FILE": "{}/t"},
        "STAGING_DOCUMENTS_VALIDATOR_TOKEN_FILE: .*must hold a token",
    ),
    "a validator": ({"DOCUMENTS_VALIDATORS": "a=http://"}, "STAGING_DOCUMENTS_VALIDATORS: 'a=http"),
    "a port": ({"DOCUMENTS_VALIDATORS": "a=http://h:x/"}, "STAGING_DOCUMENTS_VALIDATORS: 'a=http"),
    "an address of ours": ({"PUBLIC_URL": "staging.example"}, "STAGING_PUBLIC_URL: .*must be http"),
    "traces": ({"TRACES_ENDPOINT": "grpc://x:4317"}, "STAGING_TRACES_ENDPOINT: .*must be http"),
    "a URL as name": ({"HOSTS": "https://s.example"}, "STAGING_HOSTS: .*must be a name"),
    "google": ({"SOURCES_GS_ENDPOINT": "http://[h"}, "STAGING_SOURCES_GS_ENDPOINT: must be http"),
    "azure": ({"SOURCES_AZ_ENDPOINT": "ftp://h"}, "STAGING_SOURCES_AZ_ENDPOINT: must be http"),
    "page of errors": ({"ERRORS_URL": "errors.html"}, "STAGING_ERRORS_URL: .*must be http"),
    "client's secret": (
        {**_OIDC, "OIDC_CLIENT_SECRET_FILE": "{}/none"},
        "STAGING_OIDC_CLIENT_SECRET_FILE: .*No such file",
    ),
    "amazon": ({"SOURCES_S3_ENDPOINT": "http://h:x"}, "STAGING_SOURCES_S3_ENDPOINT: must be http"),
    "authorities of sources": ({"SOURCES_CA_FILE": "{}/t"}, "STAGING_SOURCES_CA_FILE: .*no cert"),
    "credentials of sources": (
        {"SOURCES_AUTHORIZATION_FILE": "{}"},
        "STAGING_SOURCES_AUTHORIZATION_FILE: .*is not a file",
    ),
    "tokens that are no text": (
        {"AUTH": "tokens", "TOKENS_FILE": "{}/bytes"},
        "STAGING_TOKENS_FILE: .*is not text in UTF-8",
    ),
    "tokens in a pipe": (
        {"AUTH": "tokens", "TOKENS_FILE": "{}/pipe"},
        "STAGING_TOKENS_FILE: .*is not a file",
    ),
    "no middleware": (
        {"AUTH": "keystone", "KEYSTONE_CONFIG": "{}/none"},
        "STAGING_KEYSTONE_CONFIG: .*not a file",
    ),
    "keys over an open line": (
        {**_OIDC, "OIDC_JWKS_URL": "http://keys.example/"},
        "STAGING_OIDC_JWKS_URL: .*https",
    ),
    "no token of ours": (
        {**_OIDC, "OIDC_FETCH_TOKEN_FILE": "{}"},
        "STAGING_OIDC_FETCH_TOKEN_FILE: .*is not a file",
    ),
    "another dialect, directly": (
        {"DATABASE_DIRECT_URL": "mysql://u:hunter2@h/d"},
        "STAGING_DATABASE_DIRECT_URL: .*mysql",
    ),
    "another dialect": ({"DATABASE_URL": "mysql://u:hunter2@h/d"}, "STAGING_DATABASE_URL: .*mysql"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bad.yaml").write_text("artifacts: [\n")
    (tmp_path / "t").write_text("tokens: []\n")
    (tmp_path / "bytes").write_bytes(b"tokens: []\n# \xff\n")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def environment(folder: Path, chosen: Mapping[str, str]) -> dict[str, str]:
    given = {"HOME": str(folder / "home"), "BIND": f"127.0.0.1:{free_port()}", **chosen}
    return {f"STAGING_{k}": v.replace("{}", str(folder)) for k, v in given.items()}


def run(
    folder: Path, verb: str, chosen: Mapping[str, str], program: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STAGING_")}
    return subprocess.run(
        [*(program or forked_command.words()), verb],
        env={**inherited, **environment(folder, chosen)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_refused(done: "subprocess.CompletedProcess[str]", reason: str) -> None:
    assert done.returncode == REFUSED, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("staging-api: ")
    assert re.search(reason, line), line
    assert "hunter2" not in done.stderr


Check = Callable[[Mapping[str, str]], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def check(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Return a function that runs `staging-api check` with settings, in this process for speed."""

    def checked(chosen: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        for name in [name for name in os.environ if name.startswith("STAGING_")]:
            monkeypatch.delenv(name)
        for name, value in environment(folder, chosen).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main(["check"])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(["check"], ended.value.code, said.out, said.err)

    return checked


@pytest.mark.filterwarnings("ignore:'cgi' is deprecated")  # from a library of the middleware
@pytest.mark.parametrize("wrong", WRONG)
def test_an_invalid_configuration_is_one_line_and_starts_nothing(
    check: Check, folder: Path, wrong: str
):
    chosen, reason = WRONG[wrong]
    assert_refused(check(chosen), reason)
    assert not (folder / "home").exists()


@pytest.mark.parametrize("wrong", ["catalogue with a wrong line", "for everybody", "misspelt"])
@pytest.mark.parametrize("verb", ["serve", "api"])
def test_the_processes_end_as_well(folder: Path, verb: str, wrong: str):
    chosen, reason = WRONG[wrong]
    assert_refused(run(folder, verb, chosen), reason)
    assert not (folder / "home").exists()


def test_a_worker_does_not_mind_what_only_the_api_needs(folder: Path):
    done = run(folder, "worker", {"CATALOGUE": "{}/none", "BIND": "0.0.0.0:8080"})
    assert_refused(done, "STAGING_CATALOGUE")


def test_check_accepts_settings_that_can_work(folder: Path):
    program = (sys.executable, "-m", "staging_api")
    done = run(folder, "check", {"SOURCES": "gs://builds/"}, program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the settings are valid\n"
    assert not (folder / "home").exists()


@pytest.mark.parametrize(
    "variable",
    [
        *("API_SERVICE_HOST", "API_PORT", "API_PORT_8080_TCP_ADDR", "PORT", "SERVICE_PORT_HTTP"),
        *("SERVER", "TOKEN"),
    ],
)
def test_variables_that_kubernetes_or_our_client_use_are_left_alone(check: Check, variable: str):
    done = check({variable: "tcp://10.0.0.1:80"})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_variable_that_is_like_none_is_named_and_ignored(
    check: Check, caplog: pytest.LogCaptureFixture
):
    """A later version may define the variable."""
    assert check({"FLUX_CAPACITY": "1"}).returncode == 0
    assert "STAGING_FLUX_CAPACITY is not a setting of this version" in caplog.text


def test_every_wrong_setting_is_in_the_line(check: Check):
    done = check({"SORUCES": "x", "WORKERS": "0", "THREADS": "x"})
    assert_refused(done, "STAGING_SORUCES: .*; STAGING_WORKERS: .*; STAGING_THREADS: ")


def test_a_child_that_refuses_its_settings_is_not_started_again():
    def refuse() -> None:
        raise SystemExit(REFUSED_STATUS)

    def live() -> None:
        while True:
            signal.pause()

    children = Children({"ending": refuse, "living": live})
    with pytest.raises(SystemExit) as ended:
        children.run()
    assert ended.value.code == REFUSED_STATUS == REFUSED
    assert children._runs["ending"].process.exitcode == REFUSED_STATUS
    assert children._runs["living"].process.exitcode == -signal.SIGTERM


#: Settings whose value is a file, a folder, a program, a URL or an address.
_NAMING = re.compile(
    ".*(FILE|URL|BIND|ENDPOINT|DIR|HOME|ISSUER|CONFIG|BINARIES|VALIDATORS)"
    "|STORE|CATALOGUE|SOURCES|STACKWALK|HOOKS|HOSTS|TRUSTED_PROXIES|SIGNING_KEY"
)


def test_each_setting_that_names_something_is_tried():
    naming = {name.upper() for name in Settings.model_fields if _NAMING.fullmatch(name.upper())}
    tried = {name for chosen, _ in WRONG.values() for name in chosen}
    assert naming - tried == {"HOME", "WORKER_BIND"}, "add one to WRONG"


def test_an_embedded_database_that_cannot_work_is_one_line_of_every_verb(folder: Path):
    (folder / "home").mkdir()
    (folder / "home" / "postgresql").write_text("somebody else's")
    for verb in ("serve", "worker", "migrate"):
        assert_refused(run(folder, verb, {}), "embedded database cannot be used: .*File exists")
