"""Settings of callers: authentication, roles and limits."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from staging_api.settings.group import Seconds, SettingsGroup


class CallerSettings(SettingsGroup):
    """Authentication, roles and limits of callers."""

    auth: Literal["none", "tokens", "oidc", "keystone"] = Field(
        "none",
        description=(
            "how callers authenticate; `none`: without credentials, allowed only on a "
            "loopback address"
        ),
    )
    hosts: str = Field(
        "",
        description=(
            "host names that requests may use, comma separated; empty: any, except "
            "that a loopback address with `none` above accepts only loopback names; "
            "`*`: any"
        ),
    )
    # The default of auth is `none`, so opening the service to a network needs an explicit setting.
    auth_none_anywhere: bool = Field(
        False, description="`yes` permits `none` above on other addresses"
    )
    anonymous_roles: str = Field(
        "",
        description=(
            "roles of callers without a credential, comma separated; `viewer`: may download"
        ),
    )
    role_rules: str = Field(
        "",
        description="with `oidc` and `keystone`: role:claim=value&claim=value, comma separated",
    )
    tokens_file: Path | None = Field(
        None, description="with `tokens`: names, roles and hashes; `staging-api token` makes one"
    )
    oidc_issuer: str = Field(
        "", description="with `oidc`: the `iss` of tokens, and the URL of the issuer's keys"
    )
    oidc_audience: str = Field("", description="with `oidc`: the `aud` that tokens must have")
    oidc_name_claim: str = Field("sub", description="with `oidc`: the claim that names the caller")
    oidc_jwks_url: str = Field(
        "",
        description="with `oidc`: address of the keys; empty: from the issuer's discovery document",
    )
    oidc_ca_file: Path | None = Field(
        None, description="with `oidc`: certificate authorities of the issuer; empty: the system's"
    )
    # The issuer of a Kubernetes cluster shows its keys only to callers with a token.
    oidc_fetch_token_file: Path | None = Field(
        None,
        description=(
            "with `oidc`: file with a token for fetching the keys, as Kubernetes requires"
        ),
    )
    oidc_client_id: str = Field(
        "", description="with `oidc`: this service's client id, for sign-in on pages; empty: none"
    )
    oidc_client_secret_file: Path | None = Field(
        None, description="with `oidc`: the client's secret; empty: PKCE alone"
    )
    oidc_scopes: str = Field(
        "openid profile email", description="with `oidc`: scopes requested at sign-in"
    )
    keystone_config: Path = Field(
        Path("/etc/staging-api/keystone.conf"),
        description="with `keystone`: configuration file of its middleware",
    )
    # A provider that hangs would occupy a thread for each request that needs it.
    identity_seconds: Seconds = Field(
        5, description="with `oidc` and `keystone`: timeout of one request to the provider"
    )
    trusted_proxies: str = Field(
        "",
        description=(
            "addresses and networks whose `X-Forwarded-For` or `Forwarded` is trusted; "
            "comma separated, `unix` for a Unix socket"
        ),
    )
    # A high limit, as many clients may share one address; known credentials are always served.
    refused_per_address: Annotated[float, Field(ge=0)] = Field(
        100, description="refused requests per second and process from one address; 0: no limit"
    )
    rate_per_caller: Annotated[float, Field(ge=0)] = Field(
        0, description="requests per second and process of one caller; 0: no limit"
    )
    concurrency_per_caller: int = Field(
        0, ge=0, description="concurrent requests of one caller per process; 0: no limit"
    )
    client_seconds: Seconds = Field(
        30,
        description="longest pause of a client while it sends a request or reads a response",
    )
    # A client that sends one byte now and then would never exceed the time above.
    client_bytes_per_second: int = Field(
        16 << 10,
        ge=1,
        description="slowest rate at which a client may send a body, or read a response",
    )
    max_body_bytes: int = Field(4 << 20, ge=1024, description="longest body of a request")
    max_upload_bytes: int = Field(
        16 << 30, ge=1024, description="longest body of a request that uploads files"
    )
