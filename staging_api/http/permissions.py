"""Permissions: sets of roles, which each row of the route table in `routes` refers to.

A route or method without a row is refused to every caller.
"""

from collections.abc import Mapping

from staging_api.identity.model import Role

Roles = frozenset[Role]

#: No credential is needed: probes, and documents without a secret.
ANYBODY: Roles = frozenset()
#: Callers with any role.
KNOWN: Roles = frozenset(Role)
#: The record: who staged what, when, under which lock.
READERS: Roles = frozenset(Role) - {Role.DEVICE}
#: Staged files. An auditor reads the record, which needs no build.
CONTENT: Roles = READERS - {Role.AUDITOR}
#: The files alone. A device that installs them learns nothing about who staged them.
FILES: Roles = CONTENT | {Role.DEVICE}
STAGERS: Roles = frozenset({Role.STAGER})
#: Stopping work: for callers who may begin it, and for operators who keep the service running.
STOPPERS: Roles = frozenset({Role.STAGER, Role.OPERATOR})
OPERATORS: Roles = frozenset({Role.OPERATOR})
PUBLISHERS: Roles = frozenset({Role.PUBLISHER})
#: The view that clients of an APT archive have: changed by publisher runs, and by rollbacks.
KEEPERS: Roles = frozenset({Role.PUBLISHER, Role.OPERATOR})

#: Configuration documents: for callers who deploy from them.
DEPLOYERS: Roles = frozenset({Role.STAGER, Role.OPERATOR})
#: Decrypted documents.
SECRETS: Roles = frozenset({Role.OPERATOR})

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Permissions:
    """Roles by route and method."""

    def __init__(self, roles: Mapping[str, Mapping[str, Roles]]) -> None:
        """Take `roles` by the template of a route and by method."""
        self._roles = roles

    def roles_for(self, template: str | None, method: str) -> Roles | None:
        """Return the roles that may call a route: `ANYBODY` requires none, None: no role may."""
        return self._roles.get(template or "", {}).get(method)

    def changes_something(self, template: str | None, method: str) -> bool:
        """Return whether a request may change something: by its method, or as a GET that stages."""
        roles = self.roles_for(template, method)
        return method not in _SAFE or (bool(roles) and roles == STAGERS)

    def methods_of(self, template: str | None) -> list[str]:
        """Return the methods of a route that some role may call."""
        return list(self._roles.get(template or "", {}))
