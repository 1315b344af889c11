"""One row of the route table."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from staging_api.http.dependencies import AppDependencies
from staging_api.http.described import Described
from staging_api.http.permissions import Roles
from staging_api.http.problems import ErrorForm

_CONVERTER = re.compile(":(int|path)")


#: Makes the resource of a route.
Make = Callable[[AppDependencies], Any]


@dataclass(frozen=True)
class Route:
    """A path of the API: what serves it, who may call it, how it is described.

    Models of requests and answers, and the kinds of locks, stand at the responders: in
    ``@contract`` and ``@api_lock``.

    Attributes:
        path: Falcon's template.
        roles: by method; any other method is refused.
        make: makes the resource; None: the application makes it of all the others.
        contract: OpenAPI operations by method, for responders that no model describes.
        errors: the form of errors that the clients of this path parse; None: problem documents.
        help: the class whose docstring explains the path to clients of the devserver.
    """

    path: str
    roles: Mapping[str, Roles]
    make: Make | None
    contract: Mapping[str, Described] = field(default_factory=dict)
    errors: ErrorForm | None = None
    help: type[Any] | None = None

    @property
    def openapi_path(self) -> str:
        """The path as OpenAPI writes it, which knows no kinds of parameters."""
        return _CONVERTER.sub("", self.path)

    @property
    def prefix(self) -> str:
        """The path up to its first parameter, without slashes at its ends."""
        return self.path.strip("/").partition("/{")[0]


def error_forms(routes: Iterable[Route]) -> Mapping[str, ErrorForm]:
    """Return the forms of errors by first segments, as `problems.add_error_handlers` takes them."""
    forms: dict[str, ErrorForm] = {}
    for route in routes:
        if route.errors is not None and route.errors is not forms.get(route.prefix):
            # Below a path that is one itself, clients may parse another form.
            name = f"{route.prefix}/" if route.prefix in forms else route.prefix
            forms[name] = route.errors
    return forms
