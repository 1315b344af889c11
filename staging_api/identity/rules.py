"""Rules that turn what is known of a caller into roles.

``STAGING_ROLE_RULES`` is a comma separated list of ``role:claim=value``, for example
``stager:groups=ci-builders,operator:sub=system:serviceaccount:ops:*``. A claim may be a text or a
list of texts, and lie deeper (``realm_access.roles``); ``*`` in a value stands for any text.
``viewer:*`` gives a role to everybody whose credential holds. Who fits no rule has no role.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from staging_api.errors import Invalid
from staging_api.identity.model import Claims, Role

_SETTING = "STAGING_ROLE_RULES"


@dataclass(frozen=True)
class RoleRule:
    """Gives `role` to a caller whose `claim` has a text like `pattern`."""

    role: Role
    claim: str
    pattern: str

    def fits(self, claims: Claims) -> bool:
        """Whether these claims earn the role."""
        if not self.claim:
            return True
        return any(fnmatchcase(text, self.pattern) for text in _texts(claims, self.claim))


@dataclass(frozen=True)
class RoleRules:
    """All the rules; each that fits adds its role."""

    rules: tuple[RoleRule, ...]

    @classmethod
    def parse(cls, setting: str) -> "RoleRules":
        """Read the setting.

        Raises:
            Invalid: a rule is malformed or its role unknown.
        """
        return cls(tuple(_rule(text.strip()) for text in setting.split(",") if text.strip()))

    def roles(self, claims: Claims) -> frozenset[Role]:
        """The roles that these claims earn."""
        return frozenset(rule.role for rule in self.rules if rule.fits(claims))


def parse_roles(setting: str, texts: str) -> frozenset[Role]:
    """Read a comma separated list of roles.

    Raises:
        Invalid: a role is unknown; names `setting`.
    """
    return frozenset(_role(setting, text.strip()) for text in texts.split(",") if text.strip())


def _rule(text: str) -> RoleRule:
    role, colon, condition = text.partition(":")
    claim, equals, pattern = condition.partition("=")
    if not colon or (condition != "*" and not (equals and claim and pattern)):
        raise Invalid.field(
            _SETTING, f"{text!r} must be role:claim=value, or role:* for every caller"
        )
    if condition == "*":
        claim = pattern = ""
    return RoleRule(_role(_SETTING, role.strip()), claim.strip(), pattern.strip())


def _role(setting: str, text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        known = ", ".join(Role)
        raise Invalid.field(setting, f"{text!r} is no role; roles are {known}") from None


def _texts(claims: Claims, name: str) -> list[str]:
    value = claims.get(name)
    # A literal name first: Kubernetes has claims with dots in their names.
    if value is None:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    values = value if isinstance(value, list | tuple) else [value]
    return [text for text in values if isinstance(text, str)]
