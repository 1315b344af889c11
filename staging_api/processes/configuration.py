"""Checks of the configuration before anything starts.

A process that cannot work with its settings must end with one line that states the reason; a
process that is restarted again and again hides that line. Temporary faults are not checked: a
database, identity provider or bucket that does not answer, or a port that another process is about
to release.
"""

import errno
import importlib.util
import os
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from staging_api.db.embedded import find_binaries
from staging_api.errors import CatalogueInvalid, DatabaseUnusable, Invalid
from staging_api.http.origins import is_loopback
from staging_api.http_url import is_http_url
from staging_api.identity.bearer import is_token
from staging_api.processes.bootstrap import build
from staging_api.processes.listening import bound, unix_path, wait_until_free
from staging_api.processes.metrics_folder import temporary_folder
from staging_api.publishing.signing_keys import expiry_warning
from staging_api.settings import Settings
from staging_api.small_files import check_authorities, read_file_of

ProcessKind = Literal["api", "worker", "both"]

_BINARIES = "STAGING_POSTGRES_BINARIES"
# Building the services needs a URL, and connects to nothing.
_NO_DATABASE = "postgresql+psycopg2:///"


def check_configuration(settings: Settings, kind: ProcessKind) -> str | None:
    """Check everything that follows from the settings alone, for one kind of process or for both.

    Returns:
        A warning if the signing key has expired or expires soon.

    Raises:
        Invalid: names the variable, what is wrong with it and what would be right.
        DatabaseUnusable: no database is named, and the embedded one is not installed.
    """
    if kind != "worker":
        check_anonymous_access(settings)
        temporary_folder()
    for setting, bind in _binds(settings, kind):
        _check_bind(setting, bind)
    for check in (_check_folders, _check_files, _check_urls, _check_programs, _check_traces):
        check(settings)
    if not settings.database_url:
        _check_embedded(settings)
    return _check_services(settings, kind)


def check_anonymous_access(settings: Settings) -> None:
    """Refuse anonymous access on an address that other machines reach, unless confirmed.

    Raises:
        Invalid: says which setting to change.
    """
    binds = settings.bind.split(",")
    open_to_all = settings.auth == "none" and not all(
        bind.strip().startswith("unix:") or is_loopback(bind) for bind in binds
    )
    if open_to_all and not settings.auth_none_anywhere:
        raise Invalid.field(
            "STAGING_BIND",
            f"{settings.bind} can be reached from elsewhere and STAGING_AUTH is none: anyone could"
            " stage and delete; choose tokens, oidc or keystone, bind to 127.0.0.1 behind a proxy"
            " that authenticates, or say so again by STAGING_AUTH_NONE_ANYWHERE=yes",
        )


def wait_for_addresses(settings: Settings, kind: ProcessKind) -> None:
    """Wait a few seconds for addresses in use: the process that has them may be about to end.

    Raises:
        AddressTaken: an address is still in use; names the setting.
    """
    for setting, bind in _binds(settings, kind):
        wait_until_free(setting, bind)


def _binds(settings: Settings, kind: ProcessKind) -> Iterator[tuple[str, str]]:
    if kind != "worker":
        for bind in settings.bind.split(","):
            yield "STAGING_BIND", bind.strip()
        if settings.probes_bind:
            yield "STAGING_PROBES_BIND", settings.probes_bind
    if kind != "api" and settings.worker_bind:
        yield "STAGING_WORKER_BIND", settings.worker_bind


def _check_bind(setting: str, bind: str) -> None:
    """Bind to the address and release it; an address in use may be free in a moment."""
    path = unix_path(bind)
    if path is not None:
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise Invalid.field(setting, f"{bind}: nothing can be made in {path.parent}")
        return
    try:
        bound(bind).close()
    except ValueError:
        raise Invalid.field(setting, f"{bind!r} must be address:port or unix:/path") from None
    except socket.gaierror:
        host = bind.rpartition(":")[0]
        raise Invalid.field(setting, f"{bind}: {host} is no address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return
        raise Invalid.field(setting, f"{bind} cannot be listened on: {error.strerror}") from None


def _check_folders(settings: Settings) -> None:
    _check_writable("STAGING_HOME", settings.home)
    if settings.store.startswith("file://"):
        _check_writable("STAGING_STORE", Path(settings.store.removeprefix("file://")))
    shared = Path(settings.metrics_dir) if settings.metrics_dir else None
    for setting, folder in (
        ("STAGING_METRICS_DIR", shared),
        ("STAGING_HOOKS", settings.hooks),
        ("STAGING_SIGNING_HOME", settings.signing_home),
        (_BINARIES, settings.postgres_binaries),
    ):
        if folder is not None and not folder.is_dir():
            raise Invalid.field(setting, f"{folder} is not a folder")
    if shared is not None and not os.access(shared, os.W_OK | os.X_OK):
        raise Invalid.field("STAGING_METRICS_DIR", f"{shared} may not be written to")


def _check_writable(setting: str, folder: Path) -> None:
    """Check that the folder exists, or can be made."""
    found = folder.absolute()
    while not found.exists() and found != found.parent:
        found = found.parent
    if not found.is_dir():
        raise Invalid.field(setting, f"{folder} cannot be a folder: {found} is a file")
    # A store may be read-only for a while, so only a folder that cannot be made is refused.
    if found != folder.absolute() and not os.access(found, os.W_OK | os.X_OK):
        raise Invalid.field(setting, f"{folder} cannot be made: {found} may not be written to")


def _check_files(settings: Settings) -> None:
    used = {"STAGING_DOCUMENTS_VALIDATOR_TOKEN_FILE": settings.documents_validator_token_file}
    if settings.auth == "oidc":
        used["STAGING_OIDC_FETCH_TOKEN_FILE"] = settings.oidc_fetch_token_file
        used["STAGING_OIDC_CLIENT_SECRET_FILE"] = settings.oidc_client_secret_file
    for setting, file in used.items():
        if file is not None:
            _check_token(setting, file)
    authorities = settings.oidc_ca_file
    if settings.auth == "oidc" and authorities is not None:
        check_authorities("STAGING_OIDC_CA_FILE", authorities)


def _check_token(setting: str, file: Path) -> None:
    if not is_token(read_file_of(setting, file).strip()):
        raise Invalid.field(setting, f"{file} must hold a token, and nothing else")


def _check_urls(settings: Settings) -> None:
    for setting, url in (
        ("STAGING_PUBLIC_URL", settings.public_url),
        ("STAGING_TRACES_ENDPOINT", settings.traces_endpoint),
        ("STAGING_ERRORS_URL", settings.errors_url),
    ):
        if url and not is_http_url(url):
            raise Invalid.field(setting, f"{url!r} must be http://host:port or https://host:port")
    for host in settings.hosts.split(","):
        if "/" in host or " " in host.strip():
            raise Invalid.field("STAGING_HOSTS", f"{host.strip()!r} must be a name, not a URL")


def _check_programs(settings: Settings) -> None:
    program = settings.stackwalk
    if program is not None and shutil.which(program) is None:
        raise Invalid.field("STAGING_STACKWALK", f"{program} is not a program that may be run")
    if settings.signing_home is not None and shutil.which("gpg") is None:
        raise Invalid.field("STAGING_SIGNING_HOME", "signing needs the program gpg")


def _check_traces(settings: Settings) -> None:
    if settings.traces_endpoint and importlib.util.find_spec("opentelemetry.sdk") is None:
        raise Invalid.field(
            "STAGING_TRACES_ENDPOINT", "needs the optional extra: pip install 'staging_api[otel]'"
        )


def _check_embedded(settings: Settings) -> None:
    chosen = settings.postgres_binaries
    folder = chosen or find_binaries()
    if shutil.which(folder / "postgres") is None:
        missing = f"{folder} has no program postgres"
        raise Invalid.field(_BINARIES, missing) if chosen else DatabaseUnusable(missing)


def _check_services(settings: Settings, kind: ProcessKind) -> str | None:
    """Build all services, which reads every file that a setting names, and connects to nothing.

    Returns:
        The warning of `check_configuration`.
    """
    url = settings.database_url or _NO_DATABASE
    try:
        services = build(settings.model_copy(update={"database_url": url}))
    except CatalogueInvalid as error:
        raise Invalid.field("STAGING_CATALOGUE", error.detail) from None
    try:
        if kind != "worker":
            # Imported here: a worker starts without the routes of the API.
            from staging_api.processes.application import site_of

            site_of(services)
        return expiry_warning(services.publisher.builder.releaser.key, datetime.now(UTC))
    finally:
        services.close()
