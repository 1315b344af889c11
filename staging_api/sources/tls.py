"""TLS with sources: trusted certificate authorities, and translation of TLS errors."""

import ssl
from pathlib import Path

import urllib3

from staging_api.errors import SourceFailed, SourceRefused
from staging_api.sources.retrying import Interrupted

#: Parts of OpenSSL's error names for a response that is not TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
#: Parts of OpenSSL's error names for a server that requires a client certificate: in TLS 1.3, and
#: before.
_NO_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_HANDSHAKE_FAILURE", "ALERT_BAD_CERTIFICATE")


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """Return the context for TLS connections.

    Args:
        ca_file: the certificate authorities; None: the system's.

    Raises:
        Interrupted: the file is not readable at the moment, perhaps because it is being replaced.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise _unusable(ca_file) from None


def authorities(ca_file: str) -> bytes:
    """Return the certificates in the file.

    Raises:
        Interrupted: the file is not readable at the moment, or has no complete certificate.
    """
    trusting(ca_file)
    try:
        return Path(ca_file).read_bytes()
    except OSError:
        raise _unusable(ca_file) from None


def tls_failure(host: str, error: urllib3.exceptions.SSLError) -> SourceFailed:
    """Translate a TLS error; only OpenSSL's own words are repeated."""
    cause = error.args[0] if error.args else None
    reason = str(getattr(cause, "reason", None) or "")
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "INTERNAL_ERROR" in reason:
        return Interrupted(
            f"{host} cut the connection; if it does each time, it may demand a certificate of its"
            " client, and this service has none"
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return SourceRefused(
            f"{host} has no valid certificate for its name: {cause.verify_message};"
            " STAGING_SOURCES_CA_FILE lists the trusted authorities"
        )
    if not isinstance(cause, ssl.SSLError):
        return SourceRefused(
            f"{host} has no valid certificate for its name: the certificate is for another name"
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
