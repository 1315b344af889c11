"""TLS failures: invalid certificate, no TLS, broken connection, client certificate required."""

import ssl
from pathlib import Path

import pytest
import trustme
import urllib3

from staging_api.errors import SourceFailed
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.tls import tls_failure
from staging_api.sources.url import parse


def of_reason(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("cause", "code", "retryable", "words"),
    [
        (ssl.SSLEOFError(8, "EOF occurred"), "source_failed", True, "cut the connection"),
        (ssl.SSLZeroReturnError(6, "closed"), "source_failed", True, "cut the connection"),
        (of_reason("TLSV1_ALERT_INTERNAL_ERROR"), "source_failed", True, "cut the connection"),
        (of_reason("WRONG_VERSION_NUMBER"), "source_refused", False, "may be a source for http://"),
        (
            of_reason("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            "source_refused",
            False,
            "demand a certificate of its client",
        ),
        (of_reason("TLSV1_UNRECOGNIZED_NAME"), "source_refused", False, "TLSV1_UNRECOGNIZED_NAME"),
        (ValueError("'a' is not 'b'"), "source_refused", False, "certificate is for another name"),
    ],
)
def test_each_failure_says_what_it_is(
    cause: Exception, code: str, retryable: bool, words: str
) -> None:
    failed = tls_failure("depot.example", urllib3.exceptions.SSLError(cause))
    assert (failed.code, failed.retryable) == (code, retryable)
    assert failed.detail.startswith("depot.example ")
    assert words in failed.detail


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/builds", "s3://builds/R17"])
@pytest.mark.parametrize("state", ["absent", "empty", "half"])
def test_authorities_that_are_being_replaced_are_a_failure_that_passes(
    tmp_path: Path, url: str, state: str
) -> None:
    file = tmp_path / "ca.pem"
    whole = trustme.CA().cert_pem.bytes()
    if state != "absent":
        file.write_bytes(whole[: len(whole) // 2] if state == "half" else b"")
    options = SourceOptions(
        ca_file=str(file), attempts=1, buckets={"s3": {"endpoint": "https://127.0.0.1:9"}}
    )
    allowed = AllowList.parse(url)
    with pytest.raises(SourceFailed, match=r"STAGING_SOURCES_CA_FILE, .*ca\.pem") as failed:
        open_archive(parse(url), allowed, options).stat("object.bin")
    assert failed.value.retryable

    file.write_bytes(whole)
    with pytest.raises(SourceFailed, match=r"connected to|did not deliver"):
        open_archive(parse(url), allowed, options).stat("object.bin")
