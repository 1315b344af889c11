"""The one reader of the environment; other modules get its variables from here.

Settings are variables ``STAGING_<NAME>``, to which `settings` gives meaning. The others are those
of systemd, of the shell, of the services of buckets, of proxies and of the library of metrics. The
command line's options that may be variables are declared in `cli/options.py`.
"""

import os
from collections.abc import Mapping, Sequence

#: In which folder the processes of a server share their metrics; prometheus_client's own.
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: The library of buckets takes each of them for the address of a service; the first before the
#: others.
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_REGIONS = {"s3": ("AWS_REGION", "AWS_DEFAULT_REGION")}


def variables() -> dict[str, str]:
    """All variables, as they are now: for settings, and for programs that are started."""
    return dict(os.environ)


def chosen_service(default_server: str) -> tuple[str, str | None]:
    """The address of the service and the token for a client; None: no token."""
    return os.environ.get("STAGING_SERVER", default_server), os.environ.get("STAGING_TOKEN")


def words_to_complete() -> Sequence[str]:
    """The words after the program's name that the shell wants to have completed, if it does."""
    if "_STAGING_API_COMPLETE" not in os.environ:
        return ()
    lines = (os.environ.get(name) for name in ("_TYPER_COMPLETE_ARGS", "COMP_WORDS"))
    return next((line.split()[1:] for line in lines if line is not None), ())


def has_sockets_of_systemd() -> bool:
    """Whether systemd listens for this process, and hands it the sockets."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def are_metrics_shared() -> bool:
    """Whether this process shares its metrics with others."""
    return _METRICS_FOLDER in os.environ


def share_metrics_in(folder: str) -> None:
    """Let this process, and those it starts, share their metrics in a folder.

    prometheus_client looks for it when it is imported, so no module that counts may be imported
    before.
    """
    os.environ[_METRICS_FOLDER] = folder


def proxies() -> Mapping[str, str]:
    """Proxies by scheme (``http``, ``https``, ``all``), and under ``no`` the exceptions."""
    from urllib.request import getproxies_environment  # 20 ms, with TLS and the forms of mails

    return getproxies_environment()


def bucket_options(scheme: str) -> Mapping[str, str]:
    """The `endpoint` and the `region` of a service of buckets, as far as they are named."""
    names = {"endpoint": _ENDPOINTS.get(scheme, ()), "region": _REGIONS.get(scheme, ())}
    found = {option: _first_of(variables) for option, variables in names.items()}
    return {option: value for option, value in found.items() if value}


def _first_of(names: Sequence[str]) -> str:
    return next(filter(None, map(os.environ.get, names)), "")
