"""Query of a devserver request, as its clients write it: not encoded, in any order."""

from collections.abc import Collection

from falcon import Request
from falcon.uri import decode

from staging_api.errors import Invalid

_LONGEST_WAIT_SECONDS = 86400
#: Parameters that name a build by other means than an archive's URL, and why they are not served.
_OTHER_BUILDS = {
    "local_path": "files of this server's disk are no archive: file:// is one, if it is allowed",
    "build_id": "builds are not fetched from Android's build servers: give an archive_url",
}
_TRUE = frozenset({"1", "true", "yes"})


class Query:
    """Values by name; an empty value counts as absent.

    Clients do not encode: a ``+`` is a plus, and ``/`` and ``:`` may appear literally. A client
    that does encode is understood as well.
    """

    def __init__(self, req: Request, several: Collection[str] = ()) -> None:
        """Read the query of `req`.

        Args:
            req: the request.
            several: names of parameters that may have several values.

        Raises:
            Invalid: another parameter has two values.
        """
        self._values: dict[str, str] = {}
        self._lists: dict[str, list[str]] = {}
        for pair in req.query_string.split("&"):
            name, _, raw = pair.partition("=")
            value = decode(raw, unquote_plus=False)
            if name in several:
                self._lists.setdefault(name, []).extend([value] if value else [])
            elif value and self._values.setdefault(name, value) != value:
                raise Invalid.field(name, "is there twice, with two values")

    def __bool__(self) -> bool:
        """Return whether there is any value at all."""
        return bool(self._values)

    def get(self, name: str) -> str | None:
        """Return the value of this name, None if it is absent."""
        return self._values.get(name)

    def required(self, name: str) -> str:
        """Return the value of this name.

        Raises:
            Invalid: it is absent.
        """
        value = self._values.get(name)
        if value is None:
            raise Invalid.field(name, "must be given")
        return value

    @property
    def archive_url(self) -> str:
        """Return the URL of the archive.

        Raises:
            Invalid: it is absent; gives the reason if the build is named by another parameter.
        """
        if "archive_url" not in self._values:
            for name, reason in _OTHER_BUILDS.items():
                if name in self._values:
                    raise Invalid.field(name, reason)
        return self.required("archive_url")

    @property
    def upload_wait_seconds(self) -> float | None:
        """Return how long to wait for a missing archive; None if the client does not say.

        Raises:
            Invalid: the value is not a number of seconds.
        """
        text = self._values.get("upload_wait_seconds")
        if text is None:
            return None
        try:
            seconds = float(text)
        except ValueError:
            # Refused below, as are NaN and infinity, which `float` accepts.
            seconds = -1.0
        if not 0 <= seconds <= _LONGEST_WAIT_SECONDS:
            raise Invalid.field(
                "upload_wait_seconds", f"must be a number from 0 to {_LONGEST_WAIT_SECONDS}"
            )
        return seconds

    def all(self, name: str) -> list[str]:
        """Return the different values of a name that may have several.

        Raises:
            Invalid: there is none.
        """
        found = list(dict.fromkeys(self._lists.get(name, ())))
        if not found:
            raise Invalid.field(name, "must be given")
        return found

    def words(self, name: str) -> list[str]:
        """Return the items of a comma separated list."""
        return [word for word in self._values.get(name, "").split(",") if word]

    def flag(self, name: str) -> bool:
        """Return a boolean, such as Python prints it; an absent value is false."""
        return self._values.get(name, "").lower() in _TRUE
