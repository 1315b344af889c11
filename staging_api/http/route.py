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


#: Creates the resource of a route.
Make = Callable[[AppDependencies], Any]


@dataclass(frozen=True)
class Route:
    """A path of the API: its resource, its permissions and its description.

    Models of requests and responses, and the kinds of locks, are declared at the responders: in
    ``@contract`` and ``@api_lock``.

    Attributes:
        path: Falcon's template.
        roles: roles that may call it, by method; any other method is refused.
        make: creates the resource; None: the application creates it from all other routes.
        contract: OpenAPI operations by method, for responders without models.
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
        """The path as OpenAPI writes it, without the types of parameters."""
        return _CONVERTER.sub("", self.path)

    @property
    def prefix(self) -> str:
        """The path up to its first parameter, without leading and trailing slashes."""
        return self.path.strip("/").partition("/{")[0]


def error_forms(routes: Iterable[Route]) -> Mapping[str, ErrorForm]:
    """Return the forms of errors by first segments, for `problems.add_error_handlers`."""
    forms: dict[str, ErrorForm] = {}
    for route in routes:
        if route.errors is not None and route.errors is not forms.get(route.prefix):
            # Paths below one that is a route itself may have another form.
            name = f"{route.prefix}/" if route.prefix in forms else route.prefix
            forms[name] = route.errors
    return forms
