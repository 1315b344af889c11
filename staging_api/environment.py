"""The only reader of environment variables; other modules import them from here.

Settings are variables ``STAGING_<NAME>``, which `settings` interprets. The others belong to
systemd, the shell, bucket services, proxies and the metrics library. Options of the command line
that may be variables are declared in `cli/options.py`.
"""

import os
from collections.abc import Mapping, Sequence

#: Folder in which the processes of a server share their metrics; prometheus_client's own variable.
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: The bucket library takes each of these as the address of a service; the first takes precedence.
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_REGIONS = {"s3": ("AWS_REGION", "AWS_DEFAULT_REGION")}


def variables() -> dict[str, str]:
    """Return all variables as they are now: for settings, and for child processes."""
    return dict(os.environ)


def chosen_service(default_server: str) -> tuple[str, str | None]:
    """Return the address of the service and the token for a client; None: no token."""
    return os.environ.get("STAGING_SERVER", default_server), os.environ.get("STAGING_TOKEN")


def words_to_complete() -> Sequence[str]:
    """Return the words after the program's name that the shell wants to complete, if any."""
    if "_STAGING_API_COMPLETE" not in os.environ:
        return ()
    lines = (os.environ.get(name) for name in ("_TYPER_COMPLETE_ARGS", "COMP_WORDS"))
    return next((line.split()[1:] for line in lines if line is not None), ())


def has_sockets_of_systemd() -> bool:
    """Return whether systemd listens for this process, and passes it the sockets."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def are_metrics_shared() -> bool:
    """Return whether this process shares its metrics with others."""
    return _METRICS_FOLDER in os.environ


def share_metrics_in(folder: str) -> None:
    """Let this process and its children share their metrics in a folder.

    prometheus_client reads the variable when it is imported, so no module with metrics may be
    imported before.
    """
    os.environ[_METRICS_FOLDER] = folder


def proxies() -> Mapping[str, str]:
    """Return proxies by scheme (``http``, ``https``, ``all``), and the exceptions under ``no``."""
    from urllib.request import getproxies_environment  # takes 20 ms, with TLS and mail formats

    return getproxies_environment()


def bucket_options(scheme: str) -> Mapping[str, str]:
    """Return `endpoint` and `region` of a bucket service, if they are set."""
    names = {"endpoint": _ENDPOINTS.get(scheme, ()), "region": _REGIONS.get(scheme, ())}
    found = {option: _first_of(variables) for option, variables in names.items()}
    return {option: value for option, value in found.items() if value}


def _first_of(names: Sequence[str]) -> str:
    return next(filter(None, map(os.environ.get, names)), "")
