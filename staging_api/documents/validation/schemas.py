"""DataSchema documents: check the schemas, and validate data against them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError
from referencing.exceptions import Unresolvable

from staging_api.documents.model import Path, canonical_json
from staging_api.documents.paths import kind_of, shortened
from staging_api.documents.patterns import PatternInvalid, compiled
from staging_api.documents.validation.cpu_budget import CheckTooSlow, CpuBudget
from staging_api.documents.validation.watched import validator_of

#: Maximum number of errors reported for one document.
_MOST_ERRORS = 20
#: Keywords whose values are data, not schemas.
_DATA_KEYWORDS = frozenset({"enum", "default", "example", "examples"})

_COMPLAINTS = {
    "required": "lacks the key {value}",
    "additionalProperties": "is not a known key",
    "enum": "must be one of {value}",
    "pattern": "must match the pattern {value}",
    "uniqueItems": "must not have an element twice",
    "format": "must be of format {value}",
}

#: A path in the schema or the data, with a message.
Complaint = tuple[Path, str]


class SchemaUnusable(Exception):
    """A schema cannot be applied to some data; the message gives the reason."""


class CompiledSchema:
    """A compiled DataSchema: always draft 4, whatever its ``$schema`` is."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile a schema without complaints from `complaints_about`."""
        self._validator = validator_of(schema)

    def errors(self, data: Any, watch: CpuBudget) -> list[ValidationError]:
        """Validate data against the schema.

        Raises:
            CheckTooSlow: the check exceeds the budget in `watch`.
            SchemaUnusable: validating this data needs a part of the schema that cannot be applied.
        """
        try:
            with watch.one_check():
                return list(islice(self._validator.iter_errors(data), _MOST_ERRORS))
        except CheckTooSlow:
            raise
        except Unresolvable as error:
            reference = shortened(str(error.ref))
            raise SchemaUnusable(f"its $ref {reference!r} leads nowhere") from None
        except RecursionError:
            raise SchemaUnusable("its $ref leads back to itself without end") from None
        except Exception as error:
            # `jsonschema` trusts its schemas: {"$ref": 5} raises AttributeError, and so on.
            raise SchemaUnusable(f"its check ends in {type(error).__name__}") from error


def complaints_about(schema: Any, watch: CpuBudget) -> list[Complaint]:
    """Return the reasons why a posted schema is not a draft 4 schema."""
    try:
        with watch.one_check():
            errors = list(islice(_META_SCHEMA.iter_errors(schema), _MOST_ERRORS))
    except (CheckTooSlow, RecursionError):
        return [((), "needs too long to be checked: make it smaller")]
    found = [(tuple(error.absolute_path), complaint(error)) for error in errors]
    return found or list(islice(_bad_patterns(schema, ()), _MOST_ERRORS))


def complaint(error: ValidationError) -> str:
    """Describe an error by quoting the schema and never the data."""
    keyword, value = str(error.validator), error.validator_value
    if keyword == "type":
        return f"is {kind_of(error.instance)}, and must be of type {_shown(value)}"
    return _COMPLAINTS.get(keyword, "must satisfy {keyword}: {value}").format(
        keyword=keyword, value=_shown(value)
    )


def _shown(value: Any) -> str:
    return shortened(canonical_json(value).decode())


def _bad_patterns(schema: Any, here: Path) -> Iterator[Complaint]:
    if isinstance(schema, list):
        for place, each in enumerate(schema):
            yield from _bad_patterns(each, (*here, place))
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key not in _DATA_KEYWORDS:
            yield from _bad_patterns(value, (*here, key))
    if isinstance(schema.get("pattern"), str):
        yield from _bad_pattern(schema["pattern"], (*here, "pattern"))
    by_pattern = schema.get("patternProperties")
    for pattern in by_pattern if isinstance(by_pattern, dict) else ():
        yield from _bad_pattern(pattern, (*here, "patternProperties"))


def _bad_pattern(pattern: str, here: Path) -> Iterable[Complaint]:
    try:
        compiled(pattern)
    except PatternInvalid as error:
        yield here, str(error)


_META_SCHEMA = validator_of(jsonschema.Draft4Validator.META_SCHEMA)
