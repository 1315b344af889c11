"""The query of a devserver request, as its clients write it: not encoded, in any order."""

from collections.abc import Collection

from falcon import Request
from falcon.uri import decode

from staging_api.errors import Invalid

_LONGEST_WAIT_SECONDS = 86400
#: What names a build in other ways than an archive's URL, and why that is not served.
_OTHER_BUILDS = {
    "local_path": "files of this server's disk are no archive: file:// is one, if it is allowed",
    "build_id": "builds are not fetched from Android's build servers: give an archive_url",
}
_TRUE = frozenset({"1", "true", "yes"})


class Query:
    """Values by name; an empty value is as good as none.

    Clients do not encode: a ``+`` is a plus, and a ``/`` or ``:`` may stand as it is. One that does
    encode is understood as well.
    """

    def __init__(self, req: Request, several: Collection[str] = ()) -> None:
        """Read the query of `req`.

        Args:
            req: the request.
            several: names that may have several values.

        Raises:
            Invalid: another name has two values.
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
        """Whether there is any value at all."""
        return bool(self._values)

    def get(self, name: str) -> str | None:
        """The value of this name, if there is one."""
        return self._values.get(name)

    def required(self, name: str) -> str:
        """The value of this name.

        Raises:
            Invalid: there is none.
        """
        value = self._values.get(name)
        if value is None:
            raise Invalid.field(name, "must be given")
        return value

    @property
    def archive_url(self) -> str:
        """The URL of the archive.

        Raises:
            Invalid: there is none; says why, if the build is named in another way.
        """
        if "archive_url" not in self._values:
            for name, reason in _OTHER_BUILDS.items():
                if name in self._values:
                    raise Invalid.field(name, reason)
        return self.required("archive_url")

    @property
    def upload_wait_seconds(self) -> float | None:
        """How long to wait for an archive that is not there yet, if the client says so.

        Raises:
            Invalid: it is no number of seconds.
        """
        text = self._values.get("upload_wait_seconds")
        if text is None:
            return None
        try:
            seconds = float(text)
        except ValueError:
            # Refused below, as are NaN and infinity, which `float` takes.
            seconds = -1.0
        if not 0 <= seconds <= _LONGEST_WAIT_SECONDS:
            raise Invalid.field(
                "upload_wait_seconds", f"must be a number from 0 to {_LONGEST_WAIT_SECONDS}"
            )
        return seconds

    def all(self, name: str) -> list[str]:
        """The different values of a name that may have several.

        Raises:
            Invalid: there is none.
        """
        found = list(dict.fromkeys(self._lists.get(name, ())))
        if not found:
            raise Invalid.field(name, "must be given")
        return found

    def words(self, name: str) -> list[str]:
        """A list that is written with commas."""
        return [word for word in self._values.get(name, "").split(",") if word]

    def flag(self, name: str) -> bool:
        """A yes or no, such as Python prints it; nothing is no."""
        return self._values.get(name, "").lower() in _TRUE
