"""Authentication by OpenStack Keystone, whose own middleware checks the token.

`identity.keystone_middleware`, which needs the optional extra, calls Keystone and interprets its
responses.
"""

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staging_api.errors import Invalid, Unauthenticated
from staging_api.identity.bearer import authorization_token
from staging_api.identity.calls import SharedCalls
from staging_api.identity.model import Environ, Principal, valid_name
from staging_api.identity.rules import RoleRule, RoleRules

log = logging.getLogger(__name__)

_DEFAULT_DOMAIN = "default"

# Key of the WSGI environment for the middleware's description of the token.
_TOKEN_INFO = "keystone.token_info"  # noqa: S105 - a name

#: Claims that name the domain of a name, which is unique only within that domain.
_DOMAINS_OF: Mapping[str, tuple[str, ...]] = {
    "user": ("domain", "user_domain", "user_domain_id"),
    "project": ("project_domain", "project_domain_id"),
}
_DEFAULTS = {"user": "user_domain_id", "project": "project_domain_id"}


def keystone_rules(setting: str) -> RoleRules:
    """Parse rules; a name without its domain belongs to the domain ``default``.

    Raises:
        Invalid: a rule is malformed.
    """
    rules = RoleRules.parse(setting)
    for rule in rules.rules:
        if _holds_everywhere(rule):
            log.warning(
                "STAGING_ROLE_RULES: a rule gives %s for a Keystone role alone, which a user may"
                " have in any project; add a project or system_scope to it",
                rule.role,
            )
    for name, domains in _DOMAINS_OF.items():
        rules = rules.qualified(name, domains, _DEFAULTS[name], _DEFAULT_DOMAIN)
    return rules


@dataclass
class KeystoneCheck:
    """Identifies callers by the middleware, configured by ``keystone_authtoken`` in a file."""

    rules: RoleRules
    middleware: Callable[..., Any]
    challenge: str

    def identify(self, environ: Environ) -> Principal | None:
        """Return the identity of the request's token; None without a token.

        OpenStack clients send the token as ``X-Auth-Token``. Our own client, curl and apt, which do
        not know that the service uses Keystone, send ``Authorization``.

        Raises:
            Unauthenticated: Keystone does not know the token, or it has expired.
            IdentityUnavailable: the check is not possible at the moment.
        """
        if not (environ.get("HTTP_X_AUTH_TOKEN") or environ.get("HTTP_X_STORAGE_TOKEN")):
            token = authorization_token(environ)
            if token is None:
                return None
            environ = {**environ, "HTTP_X_AUTH_TOKEN": token}
        found: dict[str, Any] = {}
        # The middleware must not read the body, and its own response is discarded.
        request = {**environ, "wsgi.input": io.BytesIO(), "staging_api.found": found}
        list(self.middleware(request, lambda *_ignored: lambda _data: None))
        if found.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":
            raise Unauthenticated("Keystone does not confirm the token")
        return self._identity(found[_TOKEN_INFO]["token"])

    def _identity(self, token: Mapping[str, Any]) -> Principal:
        claims = _claims(token)
        return Principal(_caller(claims), self.rules.roles(claims))


def check_by_keystone(config: Path, rules: RoleRules, calls: SharedCalls) -> KeystoneCheck:
    """Return a check by the middleware.

    Raises:
        Invalid: the optional extra ``keystone`` is not installed, or the file is missing or not
            a configuration of the middleware.
    """
    try:
        from oslo_config import cfg

        from staging_api.identity.keystone_middleware import Middleware, Tokens
    except ImportError:
        raise Invalid.field(
            "STAGING_AUTH", "keystone needs the optional extra: pip install 'staging_api[keystone]'"
        ) from None
    if not config.is_file():
        raise Invalid.field("STAGING_KEYSTONE_CONFIG", f"{config} is not a file")
    options = cfg.ConfigOpts()
    try:
        options([], project="staging_api", default_config_files=[str(config)])
        # "Delayed": the middleware only reports its verdict; refusals are our own problem
        # documents.
        chosen = {"oslo_config_config": options, "delay_auth_decision": True}
        middleware = Middleware(_note, chosen, Tokens(calls), lambda t: _caller(_claims(t)))
    except (cfg.Error, ValueError, TypeError) as error:
        raise Invalid.field("STAGING_KEYSTONE_CONFIG", f"{config}: {error}") from None
    address = middleware.address
    return KeystoneCheck(rules, middleware, f'Keystone uri="{address}"' if address else "Keystone")


def _holds_everywhere(rule: RoleRule) -> bool:
    """Return whether the rule names only a role, so that it applies to all projects."""
    claims = {condition.claim for condition in rule.conditions}
    return bool(claims) and claims <= {"roles", "role_ids"}


def _note(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Act as the application behind the middleware, and record its report."""
    environ["staging_api.found"].update(environ)
    start_response("204 No Content", [])
    return []


def _claims(token: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the claims that rules may name, without the scopes that the token lacks."""
    user, project = token["user"], token.get("project") or {}
    domain, system = token.get("domain") or {}, token.get("system") or {}
    user_domain, project_domain = user.get("domain") or {}, project.get("domain") or {}
    return {
        "user": user["name"],
        "user_id": user["id"],
        "domain": user_domain.get("name"),
        "user_domain": user_domain.get("name"),
        "user_domain_id": user_domain.get("id"),
        "project": project.get("name"),
        "project_id": project.get("id"),
        "project_domain": project_domain.get("name"),
        "project_domain_id": project_domain.get("id"),
        "scope_domain": domain.get("name"),
        "scope_domain_id": domain.get("id"),
        "system_scope": "all" if system.get("all") else None,
        "roles": [role["name"] for role in token.get("roles") or []],
        "role_ids": [role["id"] for role in token.get("roles") or []],
    }


def _caller(claims: Mapping[str, Any]) -> str:
    """Return the user's name, with its domain unless that is the default one."""
    name, domain_id = claims["user"], claims["user_domain_id"]
    if domain_id != _DEFAULT_DOMAIN or "@" in str(name):
        domain = claims["user_domain"] or domain_id
        # The text after the last @ is the domain, even if the name contains an @.
        name = f"{name}@{domain_id if '@' in str(domain) else domain}"
    # Reserved names are compared without the domain, too: `worker@corp` must not look like the
    # worker.
    valid_name(claims["user"])
    return valid_name(name)
