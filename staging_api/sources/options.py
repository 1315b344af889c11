"""Derive `SourceOptions` from the settings."""

from pathlib import Path
from urllib.parse import urlsplit

from staging_api.buckets import SERVICES
from staging_api.errors import Invalid
from staging_api.http_url import is_http_url
from staging_api.settings import Settings
from staging_api.small_files import check_authorities
from staging_api.sources.authorization import AuthorizationFile
from staging_api.sources.model import SourceOptions
from staging_api.sources.url import SCHEMES, is_safe_name, parse_setting

_ENDPOINT_FORM = "must be http://host:port or https://host:port; no password, no query"


def options_of(settings: Settings) -> SourceOptions:
    """Return the options of all sources; call it only once, because they hold the circuit breakers.

    Raises:
        Invalid: a setting is wrong; names the setting and the correct form.
    """
    headers = settings.sources_authorization_file
    return SourceOptions(
        connect_timeout_seconds=settings.sources_connect_seconds,
        read_timeout_seconds=settings.sources_read_seconds,
        slowest_bytes_per_second=settings.sources_slowest_bytes_per_second,
        attempts=settings.sources_attempts,
        manifests=_manifests(settings.sources_manifest),
        authorization=AuthorizationFile(headers) if headers else {},
        ca_file=_ca_file(settings.sources_ca_file),
        buckets={scheme: where for scheme in SERVICES if (where := _where(settings, scheme))},
        anonymous=_buckets("STAGING_SOURCES_ANONYMOUS", settings.sources_anonymous),
        etag_is_md5=settings.sources_etag_is_md5,
        secret_parameters=frozenset(
            settings.sources_secret_parameters.lower().replace(",", " ").split()
        ),
    )


def _manifests(text: str) -> tuple[str, ...]:
    names = tuple(word.strip() for word in text.split(","))
    if not all(is_safe_name(name) for name in names):
        shape = "names of objects, comma separated, such as: UPLOADED, SHA256SUMS"
        raise Invalid.field("STAGING_SOURCES_MANIFEST", f"must be {shape}")
    return tuple(dict.fromkeys(names))


def _where(settings: Settings, scheme: str) -> dict[str, str]:
    """Return those options of one bucket service that are set."""
    found = {}
    for option in SERVICES[scheme].options:
        name = f"sources_{scheme}_{option}"
        value: str = getattr(settings, name)
        if value and option == "endpoint":
            value = _endpoint(f"STAGING_{name.upper()}", value)
        if value:
            found[option] = value
    return found


def _endpoint(field: str, text: str) -> str:
    if not is_http_url(text):
        raise Invalid.field(field, _ENDPOINT_FORM)
    parts = urlsplit(text)
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if not plain:
        raise Invalid.field(field, _ENDPOINT_FORM)
    return text.rstrip("/")


def _buckets(field: str, text: str) -> frozenset[str]:
    found = set()
    for word in text.replace(",", " ").split():
        url = parse_setting(word, field)
        if not SCHEMES[url.scheme].bucket or url.segments:
            raise Invalid.field(
                field, f"{word!r} must name a whole bucket, as in gs://builds,s3://mirror"
            )
        found.add(f"{url.scheme}://{url.authority}")
    return frozenset(found)


def _ca_file(path: Path | None) -> str | None:
    if path is None:
        return None
    check_authorities("STAGING_SOURCES_CA_FILE", path)
    return str(path)
