"""Build the parts that OpenID Connect's settings select: provider, token checks, sign-in."""

from staging_api.identity.authorization_code import AuthorizationCode
from staging_api.identity.calls import SharedCalls
from staging_api.identity.jwks import KeyCache
from staging_api.identity.oidc import OidcCheck
from staging_api.identity.provider import Provider
from staging_api.identity.rules import RoleRules
from staging_api.settings import Settings


def authorization_code(settings: Settings, calls: SharedCalls) -> AuthorizationCode:
    """Return the sign-in of browsers.

    Raises:
        Invalid: a setting is wrong.
    """
    found = provider(settings)
    return AuthorizationCode(
        provider=found,
        client_id=settings.oidc_client_id,
        secret_file=settings.oidc_client_secret_file,
        scopes=settings.oidc_scopes,
        check=token_check(settings, found, settings.oidc_client_id, calls),
        calls=calls,
    )


def provider(settings: Settings) -> Provider:
    """Return the provider that the settings name."""
    return Provider(
        settings.oidc_issuer,
        settings.oidc_jwks_url,
        settings.oidc_ca_file,
        settings.oidc_fetch_token_file,
    )


def token_check(
    settings: Settings, provider: Provider, audience: str, calls: SharedCalls
) -> OidcCheck:
    """Return the check of tokens that the provider issued for `audience`.

    Raises:
        Invalid: a setting is wrong.
    """
    return OidcCheck(
        issuer=settings.oidc_issuer,
        audience=audience,
        name_claim=settings.oidc_name_claim,
        rules=RoleRules.parse(settings.role_rules),
        keys=KeyCache(provider.fetcher(), calls=calls),
    )
