"""The content of a page for programs: as curl, command line, Python and SQL."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

_API = "/api/v1.0"
#: A parameter of a statement; `::` before a name is a cast.
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@dataclass(frozen=True)
class Copies:
    """Lines to copy; empty forms are not offered.

    Attributes:
        path: path of the API call for curl, with its query.
        sql: a statement; its parameters ``:name`` are replaced by `values`.
    """

    path: str
    cli: str = ""
    python: str = ""
    sql: str = ""
    values: Mapping[str, str | int] = field(default_factory=dict)
    method: str = "GET"
    body: str = ""

    def forms(self, server: str, *, with_token: bool) -> list[tuple[str, str]]:
        """Return the name and the text of each form.

        Args:
            server: address of the service.
            with_token: whether a credential is needed; it is shown as a shell variable.
        """
        made = [
            ("curl", self._curl(server, with_token=with_token)),
            ("command line", self.cli and f"export STAGING_SERVER={server}\n{self.cli}"),
            ("Python", self.python and _PYTHON.format(server=server, body=self.python)),
            ("SQL", sql_text(self.sql, self.values)),
        ]
        return [(name, text) for name, text in made if text]

    def _curl(self, server: str, *, with_token: bool) -> str:
        options = "-sS" if self.method == "GET" else f"-sS -X {self.method}"
        body = f"-H 'Content-Type: application/json' -d {shlex.quote(self.body)}"
        return curl_line(
            f"{server}{self.path}", options, body if self.body else "", with_token=with_token
        )


def curl_line(url: str, options: str, more: str = "", *, with_token: bool) -> str:
    """Return the curl command for an address, with a token from the shell if one is needed."""
    # In double quotes, so that the shell inserts the token: no page shows a token.
    token = '-H "Authorization: Bearer $STAGING_TOKEN"' if with_token else ""
    return " ".join(filter(None, ("curl", options, token, more, shlex.quote(url))))


def api_path(path: str, **query: str | int | None) -> str:
    """Return the path of an API call, such as ``/locks``, with parameters that have values."""
    given = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"{_API}{quote(path)}" + (f"?{urlencode(given)}" if given else "")


def sql_text(statement: str, values: Mapping[str, str | int]) -> str:
    """Return a statement with its parameters ``:name`` replaced by literals."""
    # In one pass: a value may look like a parameter, and replacing it would end the literal early.
    # Readers copy this text into psql.
    return _PARAMETER.sub(
        lambda found: _literal(values[found[1]]) if found[1] in values else found[0], statement
    )


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


_PYTHON = """from staging_api.client import StagingClient

with StagingClient("{server}") as client:
    {body}"""
