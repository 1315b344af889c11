"""Reserved names of the service; a caller's name must not be or look like one of them."""

import re
import unicodedata
from functools import cache

#: The caller in rows that no caller of the API caused.
RESERVED = frozenset({"anonymous", "worker", "upkeep"})

# Look-alikes within ASCII, and characters of other scripts that Unicode's list lacks.
_LIKE = (("0", "o"), ("1", "l"), ("rn", "m"), ("vv", "w"))
_NOT_LISTED = {"κ": "k", "ĸ": "k", "ω": "w", "ш": "w", "þ": "p", "ƿ": "p"}
# Letters with a hook, a stroke or in a circle: their names show a similarity that NFKD does not.
_LETTER = re.compile("(?:^|.* )LATIN (?:SMALL|CAPITAL) LETTER ([A-Z])(?: WITH .*)?")
# Letters that are rendered as nothing or as a space.
_UNSEEN = re.compile("[\u115f\u1160\u3164\uffa0\u17b4\u17b5]")
_MARK = re.compile(r"[\W_]+")


def looks_reserved(name: str) -> bool:
    """Return whether a reader could take `name` for a reserved name."""
    return any(skeleton in _reserved() for skeleton in _skeletons(name))


def is_seen(name: str) -> bool:
    """Return whether every character of `name` is visible."""
    return name.isprintable() and not _UNSEEN.search(name)


@cache
def _reserved() -> frozenset[str]:
    return frozenset(skeleton for name in RESERVED for skeleton in _skeletons(name))


def _skeletons(name: str) -> set[str]:
    """Return forms that are equal for names that look alike (after UTS 39, section 4).

    Compatibility forms, case, accents, invisible characters and punctuation are ignored. A letter
    that looks like a Latin letter becomes that letter, before and after its case is folded.
    """
    plain = unicodedata.normalize("NFKC", name)
    return {_reduced(_latin(plain)), _reduced(_latin(plain.casefold()))}


def _reduced(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = _MARK.sub("", "".join(c for c in apart if not unicodedata.combining(c)))
    for look_alike, letter in _LIKE:
        bare = bare.replace(look_alike, letter)
    return bare


def _latin(text: str) -> str:
    if text.isascii():
        return text
    return "".join(_like_latin(char) for char in text)


@cache
def _like_latin(char: str) -> str:
    if char.isascii():
        return char
    # Imported here: its list takes 20 ms to load, and nearly all names are ASCII.
    from confusable_homoglyphs.confusables import is_confusable

    apart = unicodedata.normalize("NFKD", char)[0]
    for seen in (char, apart):
        for found in is_confusable(seen, greedy=True) or []:
            for likeness in found["homoglyphs"]:
                if likeness["c"].isascii() and likeness["c"].isalnum():
                    return str(likeness["c"])
    letter = _LETTER.fullmatch(unicodedata.name(char, ""))
    return letter[1].lower() if letter else _NOT_LISTED.get(char, char)
