"""Normalise PostgreSQL URLs, in the forms that people and Kubernetes operators write them."""

import re
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

#: SQLAlchemy's dialect and driver; libpq's own two scheme names have the same meaning.
_OURS = "postgresql+psycopg2"
_SCHEMES = frozenset({"postgres", "postgresql", _OURS})
_RIGHT = "must be postgresql://user:password@host:port/database"
_SCHEME = re.compile(r"[\w.+-]{1,40}")
_SEVERAL_HOSTS = re.compile(r"(?P<user>[^/?]*@)?(?P<hosts>[^@/?]*,[^@/?]*)(?P<rest>[/?].*|)")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(?P<port>\d+))?")
_PORT = "5432"
#: libpq's variables whose names differ from those of the parameters.
_VARIABLES = {
    "dbname": "PGDATABASE",
    "application_name": "PGAPPNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "channel_binding": "PGCHANNELBINDING",
}


def normalized(text: str) -> str:
    """Return a database URL in SQLAlchemy's form; an empty one stays empty.

    libpq and most Secrets use ``postgresql://`` or ``postgres://``. libpq's list of hosts
    (``h1:5432,h2:5432``) becomes a query, which SQLAlchemy passes on to libpq.

    Raises:
        ValueError: another dialect or driver, no URL, or an option that is unknown to libpq or
            repeated. The message says what would be right, without the URL, which contains a
            password.
    """
    text = text.strip()
    if not text:
        return ""
    scheme, separator, rest = text.partition("://")
    if not (separator and _SCHEME.fullmatch(scheme)):
        raise ValueError(f"{_RIGHT}; this is not a URL")
    if scheme.lower() not in _SCHEMES:
        raise ValueError(f"{_RIGHT}; {scheme!r} is another dialect or driver")
    try:
        url = make_url(f"{_OURS}://{_with_hosts_in_query(rest)}")
    except (ArgumentError, ValueError):
        # SQLAlchemy's message quotes the whole URL.
        raise ValueError(
            f"{_RIGHT}; in user and password, @ : / ? # and % are written as %40 and the like"
        ) from None
    try:
        options = _options(url)
        make_dsn(**{name: str(value) for name, value in options.items()})
    except (ArgumentError, psycopg2.ProgrammingError) as error:
        raise ValueError(f"{_RIGHT}?option=value: {str(error).strip()}") from None
    if twice := [name for name, value in options.items() if isinstance(value, tuple)]:
        raise ValueError(f"{_RIGHT}?option=value: {twice[0]} is there twice")
    return url.render_as_string(hide_password=False)


def libpq_environment(url: str) -> dict[str, str]:
    """Return a database URL as the environment variables of libpq's programs.

    Thus the password does not appear in the list of processes.
    """
    return {
        _VARIABLES.get(name, f"PG{name.upper()}"): str(value)
        for name, value in _options(make_url(url)).items()
    }


def _options(url: URL) -> dict[str, Any]:
    """Return the options that SQLAlchemy passes to libpq, under libpq's parameter names."""
    return dict(url.get_dialect()().create_connect_args(url)[1])


def _with_hosts_in_query(rest: str) -> str:
    """Move a list of hosts into the query, where SQLAlchemy and libpq both read it."""
    found = _SEVERAL_HOSTS.fullmatch(rest)
    if found is None:
        return rest
    pairs = [_HOST_AND_PORT.fullmatch(pair) for pair in found["hosts"].split(",")]
    if None in pairs:
        raise ValueError
    hosts = ",".join(pair["host"].strip("[]") for pair in pairs if pair)
    ports = ",".join(pair["port"] or _PORT for pair in pairs if pair)
    path, _, query = found["rest"].partition("?")
    parameters = "&".join([f"host={hosts}&port={ports}", *([query] if query else [])])
    return f"{found['user'] or ''}{path or '/'}?{parameters}"
