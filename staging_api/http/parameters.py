"""Parameters of the document routes: each has one value, so that none is silently dropped."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, cast

import falcon

from staging_api.errors import Invalid

_NAMES = ("configdocs", "commitconfigdocs", "renderedconfigdocs", "document")
#: Prefixes of these routes' templates.
_DOCUMENTS = tuple(f"/api/v1.0/{name}" for name in _NAMES)
# Similarity from 0 to 1: `dryrum` and `forced` are above this value, other words below.
_LIKENESS = 0.8


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that an unknown one seems to misspell: ``dry-run`` for ``dryrun``.

    Case, hyphens and underscores do not count.
    """
    by_letters = {_letters(each): each for each in known}
    likely = get_close_matches(_letters(name), by_letters, 1, _LIKENESS)
    return by_letters[likely[0]] if likely else None


class OneValue:
    """Middleware that refuses a parameter with two different values.

    A resource names the parameters that may have several values in `list_parameters`.
    """

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: Any, _params: Any
    ) -> None:
        """Reduce a value that is sent several times to one.

        Raises:
            Invalid: a parameter has two values; ``dryrun=true&dryrun=false`` could commit documents
                that were to be validated only.
        """
        if not (req.uri_template or "").startswith(_DOCUMENTS):
            return
        lists = getattr(resource, "list_parameters", ())
        # The request's own dictionary, which responders read too.
        params = cast("dict[str, str | list[str]]", req.params)
        for name, values in params.items():
            if name in lists or isinstance(values, str):
                continue
            if any(value != values[0] for value in values):
                raise Invalid.field(name, "is sent twice, with two different values: send one")
            params[name] = values[0]


def _letters(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
