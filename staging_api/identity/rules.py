r"""Rules that turn the claims of a caller into roles.

``STAGING_ROLE_RULES`` is a comma separated list of ``role:claim=value``; all conditions of one
rule, joined by ``&``, must hold::

    stager:groups=ci-builders,
    operator:roles=admin&system_scope=all,
    stager:sub=system:serviceaccount:ci:*,
    publisher:memberOf="CN=release,OU=groups,DC=example,DC=org"

A claim may be a text or a list of texts, and nested (``realm_access.roles``). A value matches
exactly, except that ``*`` stands for any text; between double quotes, where ``\"`` and ``\\`` stand
for ``"`` and ``\``, every character is literal. ``viewer:*`` gives a role to every valid
credential. A caller that matches no rule has no role.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from staging_api.errors import Invalid
from staging_api.identity.model import Claims, Role

_SETTING = "STAGING_ROLE_RULES"
_FORM = "must be role:claim=value, with further conditions after &, or role:* for every caller"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PIECE = re.compile(rf"{_QUOTED}|.", re.DOTALL)
_CONDITION = re.compile(rf'(?P<claim>[^="]+)=\s*(?:(?P<quoted>{_QUOTED})|(?P<plain>[^"]+))')
# Claims of OAuth that are lists in one text (RFC 8693, section 4.2).
_SPACED = frozenset({"scope", "scp"})


@dataclass(frozen=True)
class Condition:
    """A condition: the caller has a value of `claim` that matches `pattern`."""

    claim: str
    pattern: "re.Pattern[str]"

    def holds(self, claims: Claims) -> bool:
        """Return whether the condition holds for these claims."""
        return any(self.pattern.fullmatch(text) for text in _texts(claims, self.claim))


@dataclass(frozen=True)
class RoleRule:
    """A rule: a caller gets `role` if all `conditions` hold."""

    role: Role
    conditions: tuple[Condition, ...]

    def fits(self, claims: Claims) -> bool:
        """Return whether all conditions hold for these claims."""
        return all(condition.holds(claims) for condition in self.conditions)


@dataclass(frozen=True)
class RoleRules:
    """All rules; a caller gets the roles of all that fit."""

    rules: tuple[RoleRule, ...]

    @classmethod
    def parse(cls, setting: str) -> "RoleRules":
        """Parse the setting.

        Raises:
            Invalid: a rule is malformed or its role unknown.
        """
        return cls(tuple(_rule(text) for text in _split(setting, ",") if text))

    def roles(self, claims: Claims) -> frozenset[Role]:
        """Return the roles that these claims give."""
        return frozenset(rule.role for rule in self.rules if rule.fits(claims))

    def qualified(
        self, claim: str, by: tuple[str, ...], default_claim: str, default: str
    ) -> "RoleRules":
        """Return the rules; any that names `claim`, but none of `by`, also requires the default."""
        added = Condition(default_claim, re.compile(re.escape(default)))

        def needs_it(rule: RoleRule) -> bool:
            named = {condition.claim for condition in rule.conditions}
            return claim in named and named.isdisjoint(by)

        return RoleRules(
            tuple(
                RoleRule(rule.role, (*rule.conditions, added)) if needs_it(rule) else rule
                for rule in self.rules
            )
        )


def parse_roles(setting: str, texts: str) -> frozenset[Role]:
    """Parse a comma separated list of roles.

    Raises:
        Invalid: a role is unknown; the message names `setting`.
    """
    return frozenset(_role(setting, text.strip()) for text in texts.split(",") if text.strip())


def _split(text: str, mark: str) -> list[str]:
    """Split at marks outside double quotes."""
    parts = [""]
    for found in _PIECE.finditer(text):
        if found[0] == '"':
            raise Invalid.field(_SETTING, f"{text!r}: a double quote is not closed")
        if found[0] == mark:
            parts.append("")
        else:
            parts[-1] += found[0]
    return [part.strip() for part in parts]


def _rule(text: str) -> RoleRule:
    role, colon, conditions = text.partition(":")
    if not colon or not conditions.strip():
        raise Invalid.field(_SETTING, f"{text!r} {_FORM}")
    found = _role(_SETTING, role.strip())
    if conditions.strip() == "*":
        return RoleRule(found, ())
    return RoleRule(found, tuple(_condition(text, each) for each in _split(conditions, "&")))


def _condition(rule: str, text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if (
        found is None
        or not found["claim"].strip()
        or not (found["quoted"] or found["plain"].strip())
    ):
        raise Invalid.field(
            _SETTING, f'{rule!r} {_FORM}; a value with , or & or " stands between double quotes'
        )
    if found["quoted"]:
        pattern = re.escape(re.sub(r"\\(.)", r"\1", found["quoted"][1:-1]))
    else:
        pattern = ".*".join(re.escape(part) for part in found["plain"].strip().split("*"))
    return Condition(found["claim"].strip(), re.compile(pattern, re.DOTALL))


def _role(setting: str, text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        known = ", ".join(Role)
        raise Invalid.field(setting, f"{text!r} is no role; roles are {known}") from None


def _texts(claims: Claims, name: str) -> list[str]:
    value = claims.get(name)
    # Try a literal name first: Kubernetes has claims with dots in their names.
    if value is None:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    values = value if isinstance(value, list | tuple) else [value]
    texts = [text for text in values if isinstance(text, str)]
    if name in _SPACED:
        return [*texts, *(part for text in texts for part in text.split())]
    return texts
