"""OpenStack Keystone: the project's own middleware checks the token, we read what it says.

The middleware strips headers of these names from what a caller sends and sets its own, so they may
be believed, but only behind it: `behind_keystone` is what puts it there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from staging_api.errors import Invalid, Unauthenticated
from staging_api.identity.model import Header, Identify, Identity, valid_name
from staging_api.identity.rules import RoleRules

WsgiApp = Callable[..., Any]


def by_keystone(rules: RoleRules) -> Identify:
    """Identify by the middleware's headers: `rules` may use user, project, domain and roles."""

    def identify(header: Header) -> Identity | None:
        status = header("X-Identity-Status")
        if status is None or (status == "Invalid" and header("X-Auth-Token") is None):
            return None
        if status != "Confirmed":
            raise Unauthenticated("Keystone does not confirm the token")
        claims = {
            "user": header("X-User-Name"),
            "project": header("X-Project-Name"),
            "domain": header("X-User-Domain-Name"),
            "roles": [role.strip() for role in (header("X-Roles") or "").split(",")],
        }
        return Identity(valid_name(header("X-User-Name")), rules.roles(claims))

    return identify


def behind_keystone(app: WsgiApp, config: Path) -> WsgiApp:
    """`app` behind the middleware, set up by section ``keystone_authtoken`` of the file `config`.

    Raises:
        Invalid: the optional extra ``keystone`` is not installed, or the file is not there.
    """
    try:
        from keystonemiddleware.auth_token import AuthProtocol
        from oslo_config.cfg import ConfigOpts
    except ImportError:
        raise Invalid.field(
            "STAGING_AUTH", "keystone needs the optional extra: pip install 'staging_api[keystone]'"
        ) from None
    if not config.is_file():
        raise Invalid.field("STAGING_KEYSTONE_CONFIG", f"{config} is not a file")
    options = ConfigOpts()
    options([], project="staging_api", default_config_files=[str(config)])
    # Delayed: the middleware only says what it found, and refusals are ours, in our own form.
    protected: WsgiApp = AuthProtocol(
        app, {"oslo_config_config": options, "delay_auth_decision": True}
    )
    return protected
