"""Identify the caller and check its roles, before any responder and so before any lock."""

from typing import Any, Protocol

import falcon

from staging_api.clients import ALWAYS_CONNECTED, ENVIRON_KEY, Client
from staging_api.errors import Forbidden, IdentityUnavailable, Unauthenticated
from staging_api.http.addresses import share_of
from staging_api.http.limits import Refusals
from staging_api.http.permissions import ANYBODY, Permissions, Roles
from staging_api.identity.authenticators import ANONYMOUS
from staging_api.identity.calls import provider_calls
from staging_api.identity.model import Authenticator, Principal, Role
from staging_api.locks.hold import RequestOrigin
from staging_api.logs import bind_log_context


class ServesPrograms(Protocol):
    """Interface of a page whose path also serves programs, which need no credential for it."""

    def serves_program(self, req: falcon.Request) -> bool:
        """Return whether a program, not a browser, sent the request."""


class Authentication:
    """Middleware that identifies every caller, and refuses requests that its roles do not allow."""

    def __init__(
        self,
        permissions: Permissions,
        authenticator: Authenticator,
        anonymous: Principal,
        refusals: Refusals,
    ) -> None:
        """Identify callers by `authenticator`; without a credential the caller is `anonymous`."""
        self._permissions = permissions
        self._authenticator = authenticator
        self._anonymous = anonymous
        self._refusals = refusals

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: Any, _params: Any
    ) -> None:
        """Set ``caller`` and ``roles``, or refuse the request.

        A caller with a credential may also do what callers without one may.

        Raises:
            Unauthenticated: a credential is required, or the one sent is not valid.
            IdentityUnavailable: the credential cannot be checked at the moment.
            Forbidden: the caller has none of the required roles.
            TooManyRequests: too many requests from this address were refused.
            HTTPMethodNotAllowed: no role may call the route by this method.
        """
        needed = self._permissions.roles_for(req.uri_template, req.method)
        if needed is None:
            raise falcon.HTTPMethodNotAllowed(self._permissions.methods_of(req.uri_template))
        page: ServesPrograms | None = resource if hasattr(resource, "serves_program") else None
        if page is not None and page.serves_program(req):
            needed = ANYBODY
        try:
            req.context.needs_no_role = needed == ANYBODY
            # A probe must not depend on an identity provider.
            known = None if req.context.needs_no_role else self._known(req)
            identity = known or self._anonymous
            req.context.caller = identity.name
            req.context.roles = identity.roles | self._anonymous.roles
            bind_log_context(caller=identity.name)
            if needed and not needed & req.context.roles:
                raise _refusal(needed, known)
        except (Unauthenticated, IdentityUnavailable, Forbidden) as error:
            self._refusals.count(req.context.client_address)
            if isinstance(error, Unauthenticated):
                error.challenge = self._authenticator.challenge
            raise

    def _known(self, req: falcon.Request) -> Principal | None:
        with provider_calls(self._refusals.under_limit_of(req.context.client_address)):
            return self._authenticator.identify(req.env)


def origin(req: falcon.Request) -> RequestOrigin:
    """Return the origin (caller, reference id, client) under which the request takes locks."""
    caller: str = req.context.caller
    return RequestOrigin(
        caller=caller,
        reference_id=getattr(req.context, "reference_id", None),
        # Many clients share the anonymous name: each address queues separately, as it has its own
        # limits.
        turn_of=f"{caller} at {share_of(req.context.client_address)}"
        if caller == ANONYMOUS
        else None,
        client=client_of(req),
    )


def client_of(req: falcon.Request) -> Client:
    """Return the client at the other end of the connection, as far as the server knows it."""
    client: Client = req.env.get(ENVIRON_KEY, ALWAYS_CONNECTED)
    return client


def is_operator(req: falcon.Request) -> bool:
    """Return whether the caller may see values that the tables accept as proof, such as a fence."""
    return Role.OPERATOR in req.context.roles


def _refusal(needed: Roles, known: Principal | None) -> Exception:
    if known is None:
        return Unauthenticated("this needs a credential")
    roles = " or ".join(sorted(needed))
    return Forbidden(f"{known.name} needs the role {roles} for this")
