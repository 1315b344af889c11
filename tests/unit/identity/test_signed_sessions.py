"""Signed sessions: the session that cookies name, and the lifetime of the sessions' key."""

import pytest

from staging_api.errors import Unavailable
from staging_api.identity.model import Principal, Role
from staging_api.identity.sessions import COOKIE, LOOPBACK_COOKIE, Sessions, Signer, cookie_of

ALICE = Principal("alice", frozenset({Role.VIEWER}))


class KeyTable:
    """Table of the key: counts its reads, and can be unavailable."""

    def __init__(self) -> None:
        self.key = b"k" * 32
        self.read = 0
        self.is_away = False

    def find(self) -> bytes:
        self.read += 1
        if self.is_away:
            raise Unavailable("the database is away")
        return self.key


# Other programs may set cookies for this address: on loopback, cookies of all ports are sent.
@pytest.mark.parametrize(
    "others",
    [
        *("", "theme=dark; ", 'quoted="a b"; ', 'document={"a":1}; ', "list[0]=1; ", "a@b=1; "),
        *("a/b=1; ", "no-value; ", "=no-name; ", "spaces=a b c; ", "\xc3\xa4=\xc3\xb6; ", "; "),
        *(f"{COOKIE}-of-another=x; ", f"another={COOKIE}=x; "),
    ],
)
def test_a_session_counts_beside_whatever_cookies_other_programs_keep(others: str) -> None:
    sessions = Sessions("tokens", Signer(KeyTable().find), None)
    value = sessions.begin(ALICE)
    for name in (LOOPBACK_COOKIE, COOKIE):
        for cookies in (f"{others}{name}={value}", f"{name}={value}; {others}"):
            assert sessions.principal({"HTTP_COOKIE": cookies}) == ALICE, cookies


def test_a_session_counts_beside_one_that_does_not() -> None:
    sessions = Sessions("tokens", Signer(KeyTable().find), None)
    cookies = f"{COOKIE}=; {LOOPBACK_COOKIE}={sessions.begin(ALICE)}"
    assert sessions.principal({"HTTP_COOKIE": cookies}) == ALICE


def test_a_cookie_is_found_by_its_whole_name_and_the_first_of_one_name_counts() -> None:
    environ = {"HTTP_COOKIE": "aa=0; a=1=2; a=3; A=4"}
    assert cookie_of(environ, "a") == "1=2"
    assert cookie_of(environ, "A") == "4"
    assert cookie_of(environ, "b") is None
    assert cookie_of({}, "a") is None


@pytest.mark.parametrize("more", ["!", " ", "\n", "*", "\xe9"])
def test_a_session_has_one_spelling(more: str) -> None:
    signer = Signer(KeyTable().find)
    body, _, mac = signer.sign("session", {}, 60).partition(".")
    assert signer.read("session", f"{body}.{mac}")
    for changed in (f"{more}{body}.{mac}", f"{body}{more}.{mac}", f"{body}.{mac}{more}"):
        assert signer.read("session", changed) is None


def test_a_session_of_another_sign_in_method_is_refused() -> None:
    signer = Signer(KeyTable().find)
    value = Sessions("oidc", signer, None).begin(ALICE)
    assert Sessions("tokens", signer, None).principal({"HTTP_COOKIE": f"{COOKIE}={value}"}) is None


def test_the_key_is_read_again_after_a_minute_and_believed_while_the_database_is_away() -> None:
    table, seconds = KeyTable(), [0.0]
    signer = Signer(table.find, now=lambda: 0.0, clock=lambda: seconds[0])
    table.is_away = True
    with pytest.raises(Unavailable):
        signer.sign("session", {}, 60)
    table.is_away = False
    signed = signer.sign("session", {}, 60)
    read = table.read
    seconds[0] = 60.0
    assert signer.read("session", signed)
    assert table.read == read
    table.is_away = True
    for seconds[0] in (60.5, 61.0):
        assert signer.read("session", signed)
    # An unavailable database is asked once a minute, not for each page.
    assert table.read == read + 1
    table.is_away, table.key = False, b"n" * 32
    seconds[0] = 121.0
    assert signer.read("session", signed) is None
