"""Build the authenticator that STAGING_AUTH selects, importing only the libraries that it needs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from staging_api.errors import Invalid
from staging_api.identity.bearer import CHALLENGE, bearer
from staging_api.identity.model import Authenticator, Principal, Role
from staging_api.identity.rules import parse_roles
from staging_api.identity.tokens import TokenFile
from staging_api.settings import Settings

if TYPE_CHECKING:
    from staging_api.identity.authorization_code import AuthorizationCode
    from staging_api.identity.calls import SharedCalls

ANONYMOUS = "anonymous"

_MOST_WAITERS = 16


def authenticator(settings: Settings) -> Authenticator:
    """Return the authenticator that the settings select.

    Raises:
        Invalid: a required setting is missing or wrong.
    """
    return _CHOICES[settings.auth](settings)


def anonymous(settings: Settings) -> Principal:
    """Return the identity of a caller without a credential; with ``none``, all roles."""
    if settings.auth == "none":
        return Principal(ANONYMOUS, frozenset(Role))
    roles = parse_roles("STAGING_ANONYMOUS_ROLES", settings.anonymous_roles)
    return Principal(ANONYMOUS, roles)


def _by_nothing(_settings: Settings) -> Authenticator:
    return Authenticator(lambda _environ: None)


def _by_tokens(settings: Settings) -> Authenticator:
    if settings.tokens_file is None:
        raise Invalid.field("STAGING_TOKENS_FILE", "must name the file when STAGING_AUTH is tokens")
    tokens = TokenFile(settings.tokens_file)
    return Authenticator(bearer(tokens.check), CHALLENGE, tokens.recall)


def _by_oidc(settings: Settings) -> Authenticator:
    for name in ("oidc_issuer", "oidc_audience"):
        if not getattr(settings, name):
            raise Invalid.field(f"STAGING_{name.upper()}", "must be set when STAGING_AUTH is oidc")
    from staging_api.identity import openid

    check = openid.token_check(
        settings, openid.provider(settings), settings.oidc_audience, _calls(settings)
    )
    return Authenticator(bearer(check.check), CHALLENGE)


def authorization_code(settings: Settings) -> "AuthorizationCode | None":
    """Return the sign-in of browsers at the OpenID provider; None: it is not configured.

    Raises:
        Invalid: a required setting is missing or wrong.
    """
    if settings.auth != "oidc" or not settings.oidc_client_id:
        return None
    from staging_api.identity import openid

    return openid.authorization_code(settings, _calls(settings))


def _by_keystone(settings: Settings) -> Authenticator:
    from staging_api.identity.keystone import check_by_keystone, keystone_rules

    rules = keystone_rules(settings.role_rules)
    check = check_by_keystone(settings.keystone_config, rules, _calls(settings))
    return Authenticator(check.identify, check.challenge)


def _calls(settings: Settings) -> "SharedCalls":
    from staging_api.identity.calls import SharedCalls

    # Even if the provider hangs, most threads of a process stay free for other requests.
    waiters = max(1, min(_MOST_WAITERS, settings.threads // 4))
    return SharedCalls(settings.identity_seconds, waiters)


_CHOICES: Mapping[str, Callable[[Settings], Authenticator]] = {
    "none": _by_nothing,
    "tokens": _by_tokens,
    "oidc": _by_oidc,
    "keystone": _by_keystone,
}
