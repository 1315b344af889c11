"""Rules that map claims to roles."""

import pytest

from staging_api.errors import Invalid
from staging_api.identity.keystone import keystone_rules
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
        # All conditions of a rule, each separately.
        ("operator:roles=admin&scope=all", {"roles": ["admin"], "scope": "all"}, {Role.OPERATOR}),
        ("operator:roles=admin & scope=all", {"roles": ["admin"], "scope": "all"}, {Role.OPERATOR}),
        ("operator:roles=admin&scope=all", {"roles": ["admin"]}, set()),
        ("operator:roles=admin&scope=all", {"roles": ["member"], "scope": "all"}, set()),
        # Exact: of all characters, only the star has a special meaning.
        ("stager:groups=ci-[ab]", {"groups": "ci-a"}, set()),
        ("stager:groups=ci-[ab]", {"groups": "ci-[ab]"}, {Role.STAGER}),
        ("stager:groups=c?", {"groups": "ci"}, set()),
        ("stager:groups=c.", {"groups": "ci"}, set()),
        ("stager:groups=ci", {"groups": "ci\n"}, set()),
        ("stager:groups=CI", {"groups": "ci"}, set()),
        ("stager:groups=a*c*e", {"groups": "abcde"}, {Role.STAGER}),
        ('stager:groups="c*"', {"groups": "ci"}, set()),
        ('stager:groups="c*"', {"groups": "c*"}, {Role.STAGER}),
        # Quotes escape commas, ampersands and equals signs.
        (
            'stager:memberOf="CN=ci,OU=a&b,DC=x"&dept=rd,viewer:sub=a',
            {"memberOf": ["CN=ci,OU=a&b,DC=x"], "dept": "rd", "sub": "a"},
            {Role.STAGER, Role.VIEWER},
        ),
        (r'stager:cn="a\"b\\"', {"cn": 'a"b\\'}, {Role.STAGER}),
        ("stager:dn=CN=ci", {"dn": "CN=ci"}, {Role.STAGER}),
        # OAuth's list is a single text; any other text with spaces stays whole.
        ("stager:scope=stage", {"scope": "openid stage"}, {Role.STAGER}),
        ("stager:scp=stage", {"scp": "openid stage"}, {Role.STAGER}),
        ("stager:scope=openid stage", {"scope": "openid stage"}, {Role.STAGER}),
        ("stager:scope=tag", {"scope": "openid stage"}, set()),
        ("stager:title=stage", {"title": "open stage"}, set()),
        ("viewer:*,\n stager:groups=ci,", {"groups": "ci"}, {Role.VIEWER, Role.STAGER}),
    ],
)
def test_each_rule_that_fits_adds_its_role(rules, claims, roles):
    assert RoleRules.parse(rules).roles(claims) == roles


@pytest.mark.parametrize(
    "rule",
    [
        *("stager", "stager:", "stager:groups", "king:*", ":a=b", "viewer:=b", "viewer:a="),
        *("stager:a=b&c", "stager:a=b&", "stager:&a=b", "stager:a=b&*", "stager:a=b&&c=d"),
        *('stager:a="b', 'stager:a=b"', 'stager:a="b"c', 'viewer:*,stager:a="b,c=d'),
    ],
)
def test_a_malformed_rule_is_refused_at_start(rule):
    with pytest.raises(Invalid, match="STAGING_ROLE_RULES"):
        RoleRules.parse(rule)


@pytest.mark.parametrize(
    ("rule", "warned"),
    [
        ("operator:roles=admin", True),
        ("operator:role_ids=a1&roles=admin", True),
        ("operator:roles=admin&system_scope=all", False),
        ("operator:roles=admin&project=ci", False),
        ("viewer:*", False),
    ],
)
def test_a_rule_for_a_keystone_role_in_any_project_logs_a_warning(
    rule: str, warned: bool, caplog: pytest.LogCaptureFixture
):
    """In Keystone, the admin of one project is not an operator of the whole service."""
    keystone_rules(f"stager:project=ci,{rule}")
    assert ("in any project" in caplog.text) == warned
