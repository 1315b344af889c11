"""Database URLs: accepted forms, and refusals of others."""

import pytest
from psycopg2.extensions import parse_dsn
from sqlalchemy import make_url

from staging_api.database_url import libpq_environment, normalized
from staging_api.errors import Invalid
from staging_api.settings import Settings


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "POSTGRESQL"])
def test_each_name_of_postgresql_is_accepted(scheme: str):
    """Operators' secrets contain any of them; those made by `echo` end with a newline."""
    found = normalized(f"{scheme}://user:p%40ss@db.example:5433/staging?sslmode=require\n")
    assert found == "postgresql+psycopg2://user:p%40ss@db.example:5433/staging?sslmode=require"
    assert normalized(found) == found


@pytest.mark.parametrize("variable", ["database_url", "database_direct_url"])
def test_every_setting_that_is_a_database_url_takes_them(variable: str):
    settings = Settings.from_env(**{variable: "postgres://u:p@h/d"})
    assert getattr(settings, variable) == "postgresql+psycopg2://u:p@h/d"


def test_an_empty_url_stays_empty():
    assert normalized(" \n") == ""


@pytest.mark.parametrize(
    ("hosts", "host", "port"),
    [
        ("h1:5433,h2:5434", "h1,h2", "5433,5434"),
        ("h1,h2:5434", "h1,h2", "5432,5434"),
        ("[::1]:5433,h2", "::1,h2", "5433,5432"),
    ],
)
def test_several_hosts_reach_sqlalchemy_and_libpq(hosts: str, host: str, port: str):
    url = make_url(normalized(f"postgresql://u:p@{hosts}/d?connect_timeout=3"))
    ours = url.get_dialect()().create_connect_args(url)[1]
    libpq = parse_dsn(url.set(drivername="postgresql").render_as_string(hide_password=False))
    for options in (ours, libpq):
        assert (options["host"], options["port"]) == (host, port)
        assert (options["user"], options["password"], options["dbname"]) == ("u", "p", "d")
        assert str(options["connect_timeout"]) == "3"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://u:secret@h/d", "'mysql' is another dialect or driver"),
        ("sqlite:///secret.db", "'sqlite' is another dialect or driver"),
        ("postgresql+asyncpg://u:secret@h/d", "'postgresql.asyncpg' is another"),
        ("jdbc:postgresql://h/d?password=secret", "another dialect|not a URL"),
        ("host=h password=secret", "this is not a URL"),
        ("host=h password=secret://h/d", "this is not a URL"),
        ("postgresql", "this is not a URL"),
        ("postgresql://u:secret@h:port/d", "are written as %40"),
        ("postgresql://u:secret@h1:port,h2/d", "are written as %40"),
        ("postgresql://u:secret@h/d?schema=public", 'invalid connection option "schema"'),
        ("postgresql://u:secret@h/d?sslmode=require&sslmode=disable", "sslmode is there twice"),
        ("postgresql://u:secret@h1,h2/d?host=h3", "'multihost' formats together"),
        ("postgresql://u:secret@/d?host=h1,h2&port=1,2,3", "hosts and ports don't match"),
        ("postgresql://u:secret@/d?port=five", "non-integer port"),
    ],
)
@pytest.mark.parametrize("variable", ["database_url", "database_direct_url"])
def test_another_url_is_refused_in_one_line_without_its_password(
    url: str, reason: str, variable: str
):
    with pytest.raises(Invalid, match=reason) as refused:
        Settings.from_env(**{variable: url})
    assert refused.value.detail.startswith(f"STAGING_{variable.upper()}: must be postgresql://")
    assert "secret" not in refused.value.detail
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("postgresql:///d", {"PGDATABASE": "d"}),
        (
            "postgresql://u:p%40ss@h:5433/d?sslmode=require&application_name=a&channel_binding=x",
            {
                "PGHOST": "h",
                "PGPORT": "5433",
                "PGDATABASE": "d",
                "PGUSER": "u",
                "PGPASSWORD": "p@ss",
                "PGSSLMODE": "require",
                "PGAPPNAME": "a",
                "PGCHANNELBINDING": "x",
            },
        ),
        (
            "postgresql:///d?host=h1,h2&port=1,2&target_session_attrs=any",
            {
                "PGHOST": "h1,h2",
                "PGPORT": "1,2",
                "PGDATABASE": "d",
                "PGTARGETSESSIONATTRS": "any",
            },
        ),
        (
            "postgresql:///d?host=h1:1&host=h2:2",
            {"PGHOST": "h1,h2", "PGPORT": "1,2", "PGDATABASE": "d"},
        ),
    ],
)
def test_programs_of_libpq_are_told_all_of_it_and_nothing_that_it_does_not_say(
    url: str, environment: dict[str, str]
):
    assert libpq_environment(url) == environment
