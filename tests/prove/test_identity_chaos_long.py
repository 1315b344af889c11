"""Three kinds of callers of a pod whose identity provider fails repeatedly."""

import pytest

from tests.acceptance.test_identity_chaos import Provider, Size, chaos_of, keystone_of
from tests.identity_chaos import PROBE_SECONDS, openid

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    "provider", [lambda _folder: openid(), keystone_of], ids=["oidc", "keystone"]
)
def test_fifty_callers_keep_their_rights_through_every_trouble(
    provider: Provider, own_url: str, tmp_path
):
    chaos = chaos_of(provider, own_url, tmp_path, Size(17, 5, PROBE_SECONDS))
    print(dict(sorted(chaos.counts().items())))
