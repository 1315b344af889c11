"""JSON Schema draft 4 validation with a CPU time limit.

Schemas and data are posted by callers. A few lines of schema can require more checks than a
machine can do: definitions that refer to each other twice, a pattern that backtracks, `uniqueItems`
over mappings. Therefore every keyword checks the budget first, and patterns have a timeout. The
message that `jsonschema` builds for each error quotes the data and is dropped at once: kept for
each branch of an ``anyOf``, the messages would fill the memory. Nothing is fetched: a ``$ref`` to
another document is not resolved.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError
from jsonschema_specifications import REGISTRY

from staging_api.documents.validation.cpu_budget import current_budget

_Keyword = Callable[[Any, Any, Any, Any], Any]


def validator_of(schema: Mapping[str, Any]) -> Any:
    """Compile a schema; its ``iter_errors`` must run within `CpuBudget.one_check`."""
    return _Draft4(schema, registry=REGISTRY)


def _watched(keyword: _Keyword) -> _Keyword:
    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        current_budget().step()
        for error in keyword(validator, value, instance, schema) or ():
            # The message quotes the data; `complaint` builds one that does not.
            error.message, error.args = "", ()
            yield error

    return checked


def _pattern(_validator: Any, value: str, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _found(value, instance):
        yield ValidationError("")


def _pattern_properties(validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, subschema in value.items():
            for key, each in instance.items():
                if _found(pattern, key):
                    yield from validator.descend(each, subschema, path=key, schema_path=pattern)


def _additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, each in instance.items():
        if key in known or any(_found(pattern, key) for pattern in patterns):
            continue
        if isinstance(value, dict):
            yield from validator.descend(each, value, path=key)
        elif value is False:
            yield ValidationError("", path=(key,))


def _unique_items(_validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if value and isinstance(instance, list) and len(set(map(_hashable, instance))) < len(instance):
        yield ValidationError("")


def _required(_validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for key in value:
            if key not in instance:
                yield ValidationError("", validator="required", validator_value=key)


def _found(pattern: str, text: str) -> bool:
    return current_budget().patterns().search(pattern, text) is not None


def _hashable(value: Any) -> Any:
    """Return a hashable that is equal for equal JSON values: 1 equals 1.0, but not true."""
    if isinstance(value, dict):
        return dict, frozenset((key, _hashable(each)) for key, each in value.items())
    if isinstance(value, list):
        return list, tuple(map(_hashable, value))
    return (bool, value) if isinstance(value, bool) else value


_OURS: Mapping[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
    "required": _required,
}
_KEYWORDS = {**jsonschema.Draft4Validator.VALIDATORS, **_OURS}
_extend: Any = validators.extend
_Draft4 = _extend(
    jsonschema.Draft4Validator, {name: _watched(each) for name, each in _KEYWORDS.items()}
)
