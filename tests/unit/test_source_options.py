"""Settings for connections to sources; an error names the wrong setting."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from staging_api.errors import Invalid
from staging_api.settings import Settings
from staging_api.sources import authorization, open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.authorization import AuthorizationFile
from staging_api.sources.model import SourceOptions
from staging_api.sources.options import options_of
from staging_api.sources.url import parse


def test_without_settings_the_options_are_the_usual_ones():
    usual, chosen = SourceOptions(), options_of(Settings())
    ours = {"breakers"}  # a new one each time
    for name in SourceOptions.__dataclass_fields__:
        if name not in ours:
            assert getattr(chosen, name) == getattr(usual, name), name


def test_every_setting_has_its_effect(tmp_path):
    secrets = tmp_path / "authorization"
    secrets.write_text("# of the depot\nhttps://depot.example:8443 Bearer abc\n\n")
    chosen = options_of(
        Settings(
            sources_gs_endpoint="http://127.0.0.1:1/",
            sources_s3_endpoint="https://s3.example",
            sources_s3_region="eu-central-1",
            sources_az_account="builds",
            sources_az_endpoint="http://127.0.0.1:10000/builds",
            sources_anonymous="gs://builds, s3://mirror",
            sources_authorization_file=secrets,
            sources_connect_seconds=1,
            sources_read_seconds=2,
            sources_slowest_bytes_per_second=3,
            sources_attempts=4,
            sources_manifest="MANIFEST, lists/SHA256SUMS",
            sources_etag_is_md5=False,
            sources_secret_parameters="Ticket, key",
        )
    )
    assert chosen.buckets == {
        "gs": {"endpoint": "http://127.0.0.1:1"},
        "s3": {"endpoint": "https://s3.example", "region": "eu-central-1"},
        "az": {"endpoint": "http://127.0.0.1:10000/builds", "account": "builds"},
    }
    assert chosen.anonymous == {"gs://builds", "s3://mirror"}
    assert chosen.authorization == {"https://depot.example:8443": "Bearer abc"}
    assert (chosen.connect_timeout_seconds, chosen.read_timeout_seconds) == (1, 2)
    assert (chosen.slowest_bytes_per_second, chosen.attempts) == (3, 4)
    assert chosen.secret_parameters == {"ticket", "key"}
    assert (chosen.manifests, chosen.etag_is_md5) == (
        ("MANIFEST", "lists/SHA256SUMS"),
        False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sources_gs_endpoint", "storage.example"),
        ("sources_gs_endpoint", "ftp://storage.example"),
        ("sources_gs_endpoint", "http://storage.example:0"),
        ("sources_gs_endpoint", "http://storage.example:65536"),
        ("sources_s3_endpoint", "https://key:secret@s3.example"),
        ("sources_s3_endpoint", "https://"),
        ("sources_az_endpoint", "https://builds.blob.example?sig=secret"),
        ("sources_anonymous", "gs://builds/board"),
        ("sources_anonymous", "https://host"),
        ("sources_anonymous", "builds"),
        ("sources_manifest", "../UPLOADED"),
        ("sources_manifest", ""),
        ("sources_manifest", "UPLOADED,,x"),
    ],
)
def test_an_error_names_the_wrong_setting(name, value):
    with pytest.raises(Invalid) as refused:
        options_of(Settings(**{name: value}))
    assert refused.value.errors[0].field == f"STAGING_{name.upper()}"
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    "line",
    [
        *("https://host", "ftp://host x", "https://host/path x", "Bearer x"),
        *("https://host Bearer \u201cx\u201d", "https://host Bearer a\x01b"),
    ],
)
def test_an_error_names_the_wrong_line_of_the_authorization_file(tmp_path, line):
    file = tmp_path / "authorization"
    file.write_text(f"https://good Basic aaa\n{line}\n")
    with pytest.raises(Invalid, match="line 2") as refused:
        options_of(Settings(sources_authorization_file=file))
    assert "Basic" not in refused.value.detail


def test_an_authorization_file_that_changed_counts_at_once_and_one_that_is_wrong_does_not(
    tmp_path, caplog
):
    file = tmp_path / "authorization"
    file.write_text("https://a Bearer first\n")
    headers = options_of(Settings(sources_authorization_file=file)).authorization
    assert headers["https://a"] == "Bearer first"
    draft = tmp_path / "draft"
    draft.write_text("https://a Bearer later\n")
    draft.rename(file)
    assert headers == {"https://a": "Bearer later"}
    for spoil in (file.unlink, lambda: file.write_text("Bearer swordfish\n")):
        spoil()
        assert headers == {"https://a": "Bearer later"}
    assert caplog.text.count("the previous credentials of sources stay in force") == 2
    assert "swordfish" not in caplog.text
    file.write_text("")
    assert not headers


def test_an_authorization_file_that_could_not_be_read_is_read_again_after_a_second(
    tmp_path, monkeypatch, caplog
):
    """It may become readable without any change of its status, as on a network volume."""
    file, now = tmp_path / "authorization", [0.0]
    file.write_text("https://a Bearer first\n")
    headers = AuthorizationFile(file, lambda: now[0])
    file.write_text("https://a Bearer later\n")
    with monkeypatch.context() as patch:
        reads = failing(patch)
        assert [headers["https://a"] for _ in range(3)] == ["Bearer first"] * 3
        now[0] = 1.0
        assert headers["https://a"] == "Bearer first"
        assert reads == [file] * 2
    assert headers["https://a"] == "Bearer first"
    now[0] = 2.0
    assert headers["https://a"] == "Bearer later"
    assert caplog.text.count("stay in force") == 1


def failing(patch: pytest.MonkeyPatch) -> list[Path]:
    reads: list[Path] = []

    def fail(path: Path) -> Mapping[str, str]:
        reads.append(path)
        raise Invalid.field("STAGING_SOURCES_AUTHORIZATION_FILE", "Input/output error")

    patch.setattr(authorization, "read_headers", fail)
    return reads


@pytest.mark.parametrize("name", ["sources_ca_file", "sources_authorization_file"])
def test_a_missing_file_is_an_error(tmp_path, name):
    with pytest.raises(Invalid, match=f"STAGING_{name.upper()}"):
        options_of(Settings(**{name: tmp_path / "none"}))


def test_a_ca_file_must_hold_certificates(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("no certificate\n")
    with pytest.raises(Invalid, match="no certificates"):
        options_of(Settings(sources_ca_file=file))


def test_no_text_of_a_source_has_a_credential_of_its_options(tmp_path):
    folder = f"file://{tmp_path}"
    options = SourceOptions(
        authorization={"https://a.example": "Bearer swordfish", "https://b.example": "haddock"},
        proxies={"https": "http://user:hunter2@proxy.example", "no": "localhost"},
    )
    texts = [repr(options), repr(open_archive(parse(folder), AllowList.parse(folder), options))]
    for text in texts:
        assert "attempts=5" in text
        assert not [word for word in ("swordfish", "haddock", "hunter2") if word in text]
