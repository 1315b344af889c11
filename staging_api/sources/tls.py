"""TLS with sources: whom they have to be certified by, and what it means if TLS fails."""

import ssl
from pathlib import Path

import urllib3

from staging_api.errors import SourceFailed, SourceRefused
from staging_api.sources.retrying import Interrupted

#: Parts of OpenSSL's names for what came instead of TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
#: The same for what a server says that demands a certificate of its client: in TLS 1.3, and before.
_NO_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_HANDSHAKE_FAILURE", "ALERT_BAD_CERTIFICATE")


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """Return what a connection over TLS is made with.

    Args:
        ca_file: the certificate authorities; None: the system's.

    Raises:
        Interrupted: the file cannot be read just now; it may be about to be replaced.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise _unusable(ca_file) from None


def authorities(ca_file: str) -> bytes:
    """Return the certificates in the file.

    Raises:
        Interrupted: the file cannot be read just now, or has no whole certificate in it.
    """
    trusting(ca_file)
    try:
        return Path(ca_file).read_bytes()
    except OSError:
        raise _unusable(ca_file) from None


def tls_failure(host: str, error: urllib3.exceptions.SSLError) -> SourceFailed:
    """Return what an error of TLS means; only OpenSSL's own words of it are repeated."""
    cause = error.args[0] if error.args else None
    reason = str(getattr(cause, "reason", None) or "")
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "INTERNAL_ERROR" in reason:
        return Interrupted(
            f"{host} cut the connection; if it does each time, it may demand a certificate of its"
            " client, and this service has none"
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return SourceRefused(
            f"{host} did not prove its name by a certificate: {cause.verify_message};"
            " STAGING_SOURCES_CA_FILE names whose certificates are believed"
        )
    if not isinstance(cause, ssl.SSLError):
        return SourceRefused(
            f"{host} did not prove its name by a certificate: the certificate is for another name"
        )
    if any(word in reason for word in _NO_TLS):
        return SourceRefused(f"{host} did not answer in TLS: it may be a source for http://")
    if any(word in reason for word in _NO_CERTIFICATE):
        return SourceRefused(
            f"{host} ended TLS ({reason}): it may demand a certificate of its client, and this"
            " service has none"
        )
    return SourceRefused(f"{host} and this service did not agree on TLS ({reason})")


def _unusable(ca_file: str | None) -> Interrupted:
    return Interrupted(
        f"the certificates of STAGING_SOURCES_CA_FILE, {ca_file}, cannot be read just now:"
        " it must be a file of whole certificates in PEM"
    )
