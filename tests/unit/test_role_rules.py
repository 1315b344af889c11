"""Rules that turn claims into roles."""

import pytest

from staging_api.errors import Invalid
from staging_api.identity.model import Role
from staging_api.identity.rules import RoleRules


@pytest.mark.parametrize(
    ("rules", "claims", "roles"),
    [
        ("stager:groups=ci", {"groups": ["dev", "ci"]}, {Role.STAGER}),
        ("stager:groups=ci", {"groups": "ci"}, {Role.STAGER}),
        ("stager:groups=ci", {"groups": ["cio"]}, set()),
        ("stager:groups=ci", {}, set()),
        ("viewer:*", {}, {Role.VIEWER}),
        ("operator:realm.roles=ops", {"realm": {"roles": ["ops"]}}, {Role.OPERATOR}),
        ("operator:a.b=ops", {"a.b": "ops"}, {Role.OPERATOR}),
        (
            "stager:sub=system:serviceaccount:ci:*",
            {"sub": "system:serviceaccount:ci:x"},
            {Role.STAGER},
        ),
        ("stager:sub=system:serviceaccount:ci:*", {"sub": "system:serviceaccount:cd:x"}, set()),
        ("viewer:*, auditor:sub=a", {"sub": "a"}, {Role.VIEWER, Role.AUDITOR}),
        ("stager:level=7", {"level": 7}, set()),
    ],
)
def test_each_rule_that_fits_adds_its_role(rules, claims, roles):
    assert RoleRules.parse(rules).roles(claims) == roles


@pytest.mark.parametrize(
    "rule", ["stager", "stager:", "stager:groups", "king:*", ":a=b", "viewer:=b"]
)
def test_a_malformed_rule_is_refused_at_start(rule):
    with pytest.raises(Invalid, match="STAGING_ROLE_RULES"):
        RoleRules.parse(rule)
