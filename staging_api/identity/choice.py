"""Which of the ways to identify a caller the settings choose."""

from collections.abc import Callable, Mapping

from staging_api.errors import Invalid
from staging_api.identity.bearer import bearer
from staging_api.identity.jwks import KeyCache
from staging_api.identity.keystone import by_keystone
from staging_api.identity.model import Identify, Identity, Role
from staging_api.identity.oidc import OidcCheck
from staging_api.identity.provider import Provider
from staging_api.identity.rules import RoleRules, parse_roles
from staging_api.identity.tokens import TokenFile
from staging_api.settings import Settings

ANONYMOUS = "anonymous"


def identify_by(settings: Settings) -> Identify:
    """What finds out who sent a request.

    Raises:
        Invalid: a setting that this way needs is missing or wrong.
    """
    return _CHOICES[settings.auth](settings)


def anonymous(settings: Settings) -> Identity:
    """Who calls without any credential: all-powerful if nobody has to authenticate."""
    if settings.auth == "none":
        return Identity(ANONYMOUS, frozenset(Role))
    roles = parse_roles("STAGING_ANONYMOUS_ROLES", settings.anonymous_roles)
    return Identity(ANONYMOUS, roles)


def _by_tokens(settings: Settings) -> Identify:
    if settings.tokens_file is None:
        raise Invalid.field("STAGING_TOKENS_FILE", "must name the file when STAGING_AUTH is tokens")
    return bearer(TokenFile(settings.tokens_file).check)


def _by_oidc(settings: Settings) -> Identify:
    for name in ("oidc_issuer", "oidc_audience"):
        if not getattr(settings, name):
            raise Invalid.field(f"STAGING_{name.upper()}", "must be set when STAGING_AUTH is oidc")
    provider = Provider(
        settings.oidc_issuer,
        settings.oidc_jwks_url,
        settings.oidc_ca_file,
        settings.oidc_fetch_token_file,
    )
    check = OidcCheck(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        name_claim=settings.oidc_name_claim,
        rules=RoleRules.parse(settings.role_rules),
        keys=KeyCache(provider.fetcher()),
    )
    return bearer(check.check)


_CHOICES: Mapping[str, Callable[[Settings], Identify]] = {
    "none": lambda _settings: lambda _header: None,
    "tokens": _by_tokens,
    "oidc": _by_oidc,
    "keystone": lambda settings: by_keystone(RoleRules.parse(settings.role_rules)),
}
