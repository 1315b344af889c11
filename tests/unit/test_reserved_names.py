"""Reserved names: names that look like the service's own are refused."""

import unicodedata

import pytest

from staging_api.errors import Unauthenticated
from staging_api.identity.model import valid_name
from staging_api.identity.names import RESERVED


@pytest.mark.parametrize("own", sorted(RESERVED))
def test_the_services_own_names_are_refused_in_any_form(own: str):
    forms = [own, own.upper(), own.title(), f" {own}", f"{own}.", own.replace("o", "0")]
    wide = "".join(chr(ord(c) + 0xFEE0) for c in own)
    for form in (*forms, wide, own.replace("e", "é").replace("n", "ñ")):
        with pytest.raises(Unauthenticated):
            valid_name(form)


@pytest.mark.parametrize(
    "name",
    [
        "w\N{CYRILLIC SMALL LETTER O}rker",
        "w\N{GREEK SMALL LETTER OMICRON}rker",
        "\N{CYRILLIC SMALL LETTER WE}orker",
        "\N{MATHEMATICAL BOLD SMALL W}orker",
        "\N{CYRILLIC CAPITAL LETTER A}NONYMOUS",
        "anonymou\N{CYRILLIC SMALL LETTER DZE}",
        "anonyrnous",
        "vvorker",
        "up-keep",
        "upkee\N{GREEK SMALL LETTER RHO}",
        "work\N{COMBINING DIAERESIS}er",
        "w\N{LATIN SMALL LETTER O WITH STROKE}rker",
        "wor\N{LATIN SMALL LETTER K WITH HOOK}er",
        "wor\N{GREEK SMALL LETTER KAPPA}er",
        "\N{GREEK SMALL LETTER OMEGA}orker",
        "\N{CYRILLIC SMALL LETTER SHA}orker",
        "\N{NEGATIVE CIRCLED LATIN CAPITAL LETTER W}orker",
        "upkee\N{LATIN SMALL LETTER P WITH STROKE}",
    ],
)
def test_names_that_look_like_reserved_ones_are_refused(name: str):
    with pytest.raises(Unauthenticated):
        valid_name(name)


@pytest.mark.parametrize(
    "unseen",
    ["HANGUL FILLER", "HANGUL CHOSEONG FILLER", "HALFWIDTH HANGUL FILLER", "NO-BREAK SPACE"],
)
def test_a_name_has_no_letter_that_is_not_seen(unseen: str):
    """Invisible letters could imitate the service's own names or another caller's."""
    for name in ("worker", "alice"):
        for made in (f"{name}{unicodedata.lookup(unseen)}", f"{unicodedata.lookup(unseen)}{name}"):
            with pytest.raises(Unauthenticated):
                valid_name(made)


@pytest.mark.parametrize(
    "name",
    [
        "worker2",
        "workers",
        "co-worker",
        "ci",
        "Александр",
        "山田太郎",
        "upkeeper",
        "Ωmega",
        "홍길동",
    ],
)
def test_other_names_are_accepted(name: str):
    assert valid_name(name) == name
