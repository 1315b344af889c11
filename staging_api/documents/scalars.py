"""Parser of plain YAML scalars by the rules of YAML 1.1, which the clients and Deckhand use.

File modes such as ``0644`` are octal, ``on`` is true, ``12:30`` is base 60, and ``1e3`` is a text.
Values that JSON cannot represent, or that parsers read differently, are refused with a hint to
quote them: dates, ``.nan``, ``.inf``, and numbers beyond 64 bits.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

_BOOLEANS = {
    **dict.fromkeys(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_FLOAT = re.compile(
    r"""[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?
      | \.[0-9][0-9_]*(?:[eE][-+][0-9]+)?
      | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
      | [-+]?\.(?:inf|Inf|INF)
      | \.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)
_INTEGER = re.compile(
    r"""[-+]?0b[0-1_]+
      | [-+]?0[0-7_]+
      | [-+]?(?:0|[1-9][0-9_]*)
      | [-+]?0x[0-9a-fA-F_]+
      | [-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+""",
    re.VERBOSE,
)
_DATE = re.compile(
    r"""[0-9]{4}-[0-9]{2}-[0-9]{2}
      | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?
        (?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?""",
    re.VERBOSE,
)
#: Possible first characters of a number, a date, a boolean or null.
_FIRST = frozenset("-+.0123456789yYnNtTfFoO~")
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1
#: More characters than any 64-bit number needs, even in base 2 with separators.
_NUMBER_LENGTH = 160
_TAG = "tag:yaml.org,2002:"


class ScalarRefused(ValueError):
    """A scalar that is refused; the message gives the correct form, and never quotes the value."""


def plain(text: str) -> Any:
    """Parse a scalar without quotes and without a tag.

    Raises:
        ScalarRefused: for dates, ``.nan``, ``.inf`` and numbers beyond 64 bits.
    """
    if text in _NULLS:
        return None
    # Most texts return here, without matching three regular expressions.
    if text[0] not in _FIRST:
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _DATE.fullmatch(text):
        raise ScalarRefused("is a date, which JSON does not have: write it in quotes")
    return text


def tagged(tag: str, text: str) -> Any:
    """Parse a scalar with an explicit tag.

    Raises:
        ScalarRefused: the tag is unknown, or the text does not match it.
    """
    if tag in ("!", _TAG + "str"):
        return text
    if tag not in _TAGGED:
        # Not quoted: it may be a password that begins with "!" and lacks its quotes.
        raise ScalarRefused(
            "has a tag other than !!str, !!int, !!float, !!bool and !!null:"
            " write a text that begins with ! in quotes"
        )
    fits, read = _TAGGED[tag]
    if not fits(text):
        raise ScalarRefused(f"has the tag !!{tag.removeprefix(_TAG)} and is not written as one")
    return read(text)


def check_collection_tag(tag: str | None, expected: str) -> None:
    """Allow ``!!map`` on mappings and ``!!seq`` on lists, and no other tag.

    Raises:
        ScalarRefused: the tag is another one.
    """
    if tag not in (None, "!", _TAG + expected):
        raise ScalarRefused("has a tag, and mappings and lists take no such tag")


def key_text(value: Any) -> str:
    """Return a mapping key as text, as JSON has no other keys: ``1`` is "1", ``yes`` is "true"."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _integer(text: str) -> int:
    digits = _checked(text).replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    try:
        value = sign * _unsigned(digits)
    except ValueError:
        raise ScalarRefused("looks like a number and has no digits: write it in quotes") from None
    if not _SMALLEST <= value <= _LARGEST:
        raise ScalarRefused("is a number that 64 bits do not hold: write it in quotes")
    return value


def _unsigned(digits: str) -> int:
    if digits.startswith(("0b", "0x")):
        return int(digits, 0)
    if ":" in digits:
        return int(_base_60(digits))
    return int(digits, 8) if digits.startswith("0") else int(digits)


def _float(text: str) -> float:
    digits = _checked(text).replace("_", "").lower()
    sign = -1.0 if digits.startswith("-") else 1.0
    digits = digits.lstrip("+-")
    if digits in (".inf", ".nan"):
        raise ScalarRefused("is not a finite number, and JSON has no other: write it in quotes")
    value = sign * (_base_60(digits) if ":" in digits else float(digits))
    if math.isinf(value):
        raise ScalarRefused("is a number that 64 bits do not hold: write it in quotes")
    return value


def _base_60(digits: str) -> float:
    value: float = 0
    for part in digits.split(":"):
        value = value * 60 + (float(part) if "." in part else int(part))
    return value


def _checked(text: str) -> str:
    if len(text) > _NUMBER_LENGTH:
        raise ScalarRefused(
            f"is a number of more than {_NUMBER_LENGTH} characters: write it in quotes"
        )
    return text


#: By tag: a predicate that matches the text, and its parser.
_TAGGED: Mapping[str, tuple[Callable[[str], object], Callable[[str], Any]]] = {
    _TAG + "null": (_NULLS.__contains__, lambda _text: None),
    _TAG + "bool": (_BOOLEANS.__contains__, _BOOLEANS.__getitem__),
    _TAG + "int": (_INTEGER.fullmatch, _integer),
    _TAG + "float": (lambda text: _FLOAT.fullmatch(text) or _INTEGER.fullmatch(text), _float),
}
