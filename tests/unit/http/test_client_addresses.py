"""Client addresses: the address under which a request is counted and logged."""

import pytest

from staging_api.errors import Invalid
from staging_api.http.addresses import NO_PROXIES, TrustedProxies, share_of

PROXIES = TrustedProxies.parse("10.0.0.0/8, 192.0.2.7, 2001:db8::/32")


def seen(peer: str, *proxies: TrustedProxies, **headers: str) -> str:
    environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    (trusted,) = proxies or (PROXIES,)
    return trusted.client_of({"REMOTE_ADDR": peer, **environ})


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded"])
def test_headers_of_an_untrusted_address_are_ignored(header: str):
    said = {header: "for=198.51.100.1" if header == "forwarded" else "198.51.100.1"}
    assert seen("203.0.113.5", **said) == "203.0.113.5"
    assert seen("10.0.0.1", NO_PROXIES, **said) == "10.0.0.1"
    assert seen("10.0.0.1", **said) == "198.51.100.1"


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("spoofed, 198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1, 10.1.1.1, 192.0.2.7", "198.51.100.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("[2a00::1]:4711", "2a00::1"),
        ("2a00::1", "2a00::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("10.9.9.9, 10.8.8.8", "10.9.9.9"),
        ("198.51.100.1, unknown", "10.0.0.1"),
        ("198.51.100.1, unknown, 10.7.7.7", "10.7.7.7"),
        ("", "10.0.0.1"),
        (",", "10.0.0.1"),
        ("nonsense", "10.0.0.1"),
        (", ".join(["198.51.100.1"] * 500), "198.51.100.1"),
    ],
)
def test_the_last_address_that_is_no_proxys_is_the_clients(said: str, client: str):
    assert seen("10.0.0.1", x_forwarded_for=said) == client


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ('For="[2a00::1]:4711";proto=https;by=10.0.0.1', "2a00::1"),
        ("for=1.1.1.1, proto=http; for=198.51.100.1 , for=10.2.2.2", "198.51.100.1"),
        ("for=_hidden", "10.0.0.1"),
        ("for=198.51.100.1, by=10.2.2.2", "10.0.0.1"),
        ("before=1.1.1.1", "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_as_well(said: str, client: str):
    assert seen("10.0.0.1", forwarded=said) == client


def test_of_very_many_hops_only_the_last_ones_are_looked_at():
    client, proxies = ["198.51.100.1"], ["10.1.1.1"] * 31
    assert seen("10.0.0.1", x_forwarded_for=", ".join([*client, *proxies])) == "198.51.100.1"
    assert seen("10.0.0.1", x_forwarded_for=", ".join([*client, "10.2.2.2", *proxies])) == (
        "10.2.2.2"
    )


def test_of_two_headers_that_disagree_neither_is_believed():
    """One of them came through a proxy that does not use this header."""
    one, other = "198.51.100.1", "203.0.113.9"
    assert seen("10.0.0.1", x_forwarded_for=one, forwarded=f"for={other}") == "10.0.0.1"
    assert seen("10.0.0.1", x_forwarded_for=one, forwarded=f"for={one}") == one


def test_a_proxy_on_a_unix_socket_is_believed_if_chosen():
    said = {"x_forwarded_for": "198.51.100.1"}
    assert seen("", TrustedProxies.parse("unix"), **said) == "198.51.100.1"
    assert seen("", PROXIES, **said) == seen("", NO_PROXIES, **said) == "unix"


def test_a_network_of_ipv6_is_one_client():
    assert share_of("2a00::1") == share_of("2a00::2:3") == "2a00::/64"
    assert share_of("198.51.100.1") != share_of("198.51.100.2")
    assert share_of("unix") == "unix"


@pytest.mark.parametrize("setting", ["proxy.example", "10.0.0.0/33", "*", "10.0.0.1,,x"])
def test_a_name_is_no_proxy(setting: str):
    with pytest.raises(Invalid, match="STAGING_TRUSTED_PROXIES"):
        TrustedProxies.parse(setting)
