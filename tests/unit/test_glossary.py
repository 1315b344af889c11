"""Glossary: each word in the name of a class, table, metric or error code is explained."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from prometheus_client import Counter as CounterMetric
from prometheus_client import Gauge, Histogram

import staging_api
from staging_api import metrics
from staging_api.db.tables import metadata
from staging_api.error_help import ERROR_HELP

PACKAGE = Path(staging_api.__file__).parent
GLOSSARY = Path(__file__).parents[2] / "docs" / "reference" / "glossary.md"
_CLASS = re.compile(r"^ *class ([A-Za-z]\w*)[(\[:]", re.MULTILINE)
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")

#: Words that need no row, by reason.
ORDINARY = {
    "they join or count other words": (
        "all always as at for in is many me no not of on once one only other out over to too"
    ),
    "they say how the noun beside them is, or what became of it": (
        "absent accepted again ambiguous begun bounded broken built busy cancelled"
        " compiled conditional connected copied corrupt current damaged decompressed denied"
        " done due elsewhere embedded exceeded expired failed fitting forbidden found free"
        " full gone growing held idle incoming installed internal interrupted interruptible"
        " invalid kept known large largest last late latest live local located lost new newest"
        " open outdated partial plain recent refused repeated resumed reused seen sent"
        " shutting single slow slowest stale standing static taken throttled timed tracked"
        " trusted unauthenticated unavailable unconfirmed unknown unreachable unreadable"
        " unrenderable unsafe unsigned unsupported unusable unverified used written wrong"
    ),
    "everybody who programs knows them": (
        "access app assembly async batch binary budget byte callback candidate cause"
        " check checksum child children client clock code condition conflict connection"
        " context control count cpu cursor database deadline debug decision deletion"
        " dependency description disconnect disk display domain drop dump end entry error"
        " extra fact failure fault fetch field filter flight folder form format forward hash"
        " health heartbeat help hit indices info interval item journal keep"
        " kind level limit line load log lookup mapping metric middleware migration minute"
        " mode module monitor name node note noun option pace pair parallel path pattern"
        " policy prefix program rate read ready reason ref relation report"
        " resource result ring root row scalar second send serve setting shutdown signal"
        " signature skew split spread start step stop storage stream summary surface"
        " sweep table take term text thread timeout timestamp transport type usage value"
        " verification view watchdog zip"
    ),
    "they are HTTP's, or of pages": (
        "address answer api asset authenticate authorization awaiting axis badge bar body chart"
        " fragment head header html http image liveness media nav page parameter post"
        " preference proxy query question readiness reply respond response route"
        " security socket status theme tile token ui url"
    ),
    "they name products, protocols and forms of data": (
        "csv deb dists falcon json keystone oidc postgres"
    ),
    "clients of the devserver and of Shipyard call paths and bodies so": (
        "deployment devserver dir locate symbolicate"
    ),
}


def words_of(name: str) -> Iterator[str]:
    """Yield the words of a name, in lower case."""
    return (part.lower() for part in _PART.findall(name))


def stem(word: str) -> str:
    """Return the common stem of a word's forms: `evict` for `evicted` and `evictions`."""
    for ending in ("s", "ing", "ed", "ion", "or", "er", "able", "e"):
        if len(word) > len(ending) + 2 and not word.endswith("ss"):
            word = word.removesuffix(ending)
    if len(word) > 3 and word[-1] == word[-2] != "s":
        return word[:-1]
    return f"{word[:-1]}y" if word.endswith("i") else word


@cache
def terms() -> list[str]:
    """Return the left column of the glossary: single terms, or several explained together."""
    rows = [line.split("|")[1] for line in GLOSSARY.read_text().splitlines() if line[:2] == "| "]
    return [term.strip() for row in rows[1:] for term in row.split(",")]


@cache
def known() -> frozenset[str]:
    ordinary = " ".join(ORDINARY.values())
    return frozenset(stem(word) for text in (*terms(), ordinary) for word in words_of(text))


def names() -> Iterator[str]:
    """Yield the names of public classes, tables, metrics and error codes."""
    for path in PACKAGE.rglob("*.py"):
        yield from _CLASS.findall(path.read_text())
    yield from metadata.tables
    for metric in vars(metrics).values():
        if isinstance(metric, CounterMetric | Gauge | Histogram):
            yield metric._name
    yield from ERROR_HELP


def test_every_word_of_a_name_is_explained_or_ordinary() -> None:
    unknown = {
        name: odd
        for name in names()
        if (odd := [word for word in words_of(name) if stem(word) not in known()])
    }
    assert unknown == {}


def test_a_term_has_one_row() -> None:
    assert [term for term, times in Counter(terms()).items() if times > 1] == []


def test_no_word_is_both_ordinary_and_a_term() -> None:
    of_terms = {stem(word) for term in terms() for word in words_of(term)}
    of_all = [word for text in ORDINARY.values() for word in words_of(text)]
    assert [word for word, times in Counter(of_all).items() if times > 1] == []
    assert [word for word in of_all if stem(word) in of_terms] == []


def test_no_ordinary_word_is_listed_that_no_name_has() -> None:
    used = {stem(word) for name in names() for word in words_of(name)}
    of_all = [word for text in ORDINARY.values() for word in words_of(text)]
    assert [word for word in of_all if stem(word) not in used] == []
