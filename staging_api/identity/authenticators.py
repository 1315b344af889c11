"""Build the authenticator that STAGING_AUTH selects."""

from collections.abc import Callable, Mapping

from staging_api.errors import Invalid
from staging_api.identity.authorization_code import AuthorizationCode
from staging_api.identity.bearer import CHALLENGE, bearer
from staging_api.identity.calls import SharedCalls
from staging_api.identity.jwks import KeyCache
from staging_api.identity.keystone import check_by_keystone, keystone_rules
from staging_api.identity.model import Authenticator, Principal, Role
from staging_api.identity.oidc import OidcCheck
from staging_api.identity.provider import Provider
from staging_api.identity.rules import RoleRules, parse_roles
from staging_api.identity.tokens import TokenFile
from staging_api.settings import Settings

ANONYMOUS = "anonymous"

_MOST_WAITERS = 16


def authenticator(settings: Settings) -> Authenticator:
    """Return the authenticator that the settings select.

    Raises:
        Invalid: a setting that it needs is missing or wrong.
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
    check = _oidc_check(settings, _provider(settings), settings.oidc_audience, _calls(settings))
    return Authenticator(bearer(check.check), CHALLENGE)


def authorization_code(settings: Settings) -> AuthorizationCode | None:
    """Return the sign-in of browsers at the OpenID provider; None: it is not set up.

    Raises:
        Invalid: a setting that it needs is missing or wrong.
    """
    if settings.auth != "oidc" or not settings.oidc_client_id:
        return None
    provider, calls = _provider(settings), _calls(settings)
    return AuthorizationCode(
        provider=provider,
        client_id=settings.oidc_client_id,
        secret_file=settings.oidc_client_secret_file,
        scopes=settings.oidc_scopes,
        check=_oidc_check(settings, provider, settings.oidc_client_id, calls),
        calls=calls,
    )


def _provider(settings: Settings) -> Provider:
    return Provider(
        settings.oidc_issuer,
        settings.oidc_jwks_url,
        settings.oidc_ca_file,
        settings.oidc_fetch_token_file,
    )


def _oidc_check(
    settings: Settings, provider: Provider, audience: str, calls: SharedCalls
) -> OidcCheck:
    return OidcCheck(
        issuer=settings.oidc_issuer,
        audience=audience,
        name_claim=settings.oidc_name_claim,
        rules=RoleRules.parse(settings.role_rules),
        keys=KeyCache(provider.fetcher(), calls=calls),
    )


def _by_keystone(settings: Settings) -> Authenticator:
    rules = keystone_rules(settings.role_rules)
    check = check_by_keystone(settings.keystone_config, rules, _calls(settings))
    return Authenticator(check.identify, check.challenge)


def _calls(settings: Settings) -> SharedCalls:
    # Even if the provider hangs, most threads of a process stay free for other requests.
    waiters = max(1, min(_MOST_WAITERS, settings.threads // 4))
    return SharedCalls(settings.identity_seconds, waiters)


_CHOICES: Mapping[str, Callable[[Settings], Authenticator]] = {
    "none": _by_nothing,
    "tokens": _by_tokens,
    "oidc": _by_oidc,
    "keystone": _by_keystone,
}
