"""Comparison of a released OpenAPI document with a later one: which changes break clients.

The rules are those of docs/reference/compatibility.md. A client that was generated from the
released document, or written by hand from it, must continue to work: it sends the same requests,
and reads the same responses. `python -m tests.compatibility` writes the document of this version
as the released one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from staging_api.publishing import rules
from tests.options import refuse_options

#: The OpenAPI document of the last release.
RELEASED = Path(__file__).parents[1] / "docs" / "openapi-released.json"
#: Patterns of request fields, with a pattern that may replace each: it matches at least as much.
WIDER_PATTERNS = [(rules.WORD, rules.COMPONENT)]

Schema = Mapping[str, Any]

#: Bounds of a value: a minimum may not rise, a maximum may not fall.
_FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def breaks(released: Schema, now: Schema) -> list[str]:
    """Return a line for each change that could break a client of the released document."""
    return list(_Comparison(released, now).all())


class _Comparison:
    def __init__(self, released: Schema, now: Schema) -> None:
        self._released, self._now = released, now
        self._seen: set[tuple[str, str, bool]] = set()

    def all(self) -> Iterator[str]:
        for path, methods in self._released["paths"].items():
            for method, before in methods.items():
                where = f"{method.upper()} {path}"
                after = self._now["paths"].get(path, {}).get(method)
                if after is None:
                    yield f"{where}: the operation is gone"
                    continue
                yield from self._operation(where, before, after)

    def _operation(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        if before["operationId"] != after["operationId"]:
            yield f"{where}: its id was {before['operationId']}, and is {after['operationId']}"
        yield from _credentials(where, before["security"], after["security"])
        yield from self._parameters(where, before, after)
        yield from self._request(where, before.get("requestBody"), after.get("requestBody"))
        yield from self._answers(where, before["responses"], after["responses"])

    def _parameters(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        old, new = (
            {
                (each["in"], each["name"]): each
                for each in (self._found(side, each) for each in operation.get("parameters", []))
            }
            for side, operation in ((self._released, before), (self._now, after))
        )
        for key, parameter in old.items():
            name = f"{where}: parameter {key[1]}"
            if key not in new:
                yield f"{name} is not taken any more"
                continue
            if new[key].get("required") and not parameter.get("required"):
                yield f"{name} is required now"
            yield from self._narrowed(name, parameter["schema"], new[key]["schema"])
        for key in new.keys() - old.keys():
            if new[key].get("required"):
                yield f"{where}: parameter {key[1]} is new and required"

    def _request(self, where: str, before: Schema | None, after: Schema | None) -> Iterator[str]:
        if before is None:
            if after is not None and after.get("required"):
                yield f"{where}: a body is required now"
            return
        if after is None:
            yield f"{where}: no body is taken any more"
            return
        if after.get("required") and not before.get("required"):
            yield f"{where}: a body is required now"
        for media, form in before["content"].items():
            if media not in after["content"]:
                yield f"{where}: a body of {media} is not taken any more"
                continue
            name = f"{where}: body"
            yield from self._narrowed(name, form["schema"], after["content"][media]["schema"])

    def _answers(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        """Compare successful responses in full; of error responses only the form is compared."""
        for status, answer in before.items():
            if status not in after:
                if status < "400":
                    yield f"{where}: it does not answer {status} any more"
                continue
            old, new = self._found(self._released, answer), self._found(self._now, after[status])
            for media, form in old.get("content", {}).items():
                name = f"{where}: answer {status}"
                if media not in new.get("content", {}):
                    yield f"{name} is not {media} any more"
                    continue
                yield from self._widened(name, form["schema"], new["content"][media]["schema"])
        for status in after.keys() - before.keys():
            if status < "300":
                yield f"{where}: it may answer {status} now, which no client expects"

    def _narrowed(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        """Yield the values that a client could send and that are now refused."""
        pair = self._pair(before, after, asked=True)
        if pair is None:
            return
        old, new = pair
        yield from _value_narrowed(where, old, new)
        known = new.get("properties", {})
        for name, schema in old.get("properties", {}).items():
            if name not in known:
                yield f"{where}: {name} is not taken any more"
            else:
                yield from self._narrowed(f"{where}.{name}", schema, known[name])
        for name in set(new.get("required", [])) - set(old.get("required", [])):
            yield f"{where}: {name} is required now"
        for inner, other in _inner(old, new):
            yield from self._narrowed(f"{where}[]", inner, other)

    def _widened(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        """Yield the values that a response could not contain before and now may contain."""
        pair = self._pair(before, after, asked=False)
        if pair is None:
            return
        old, new = pair
        yield from _value_widened(where, old, new)
        known = new.get("properties", {})
        for name, schema in old.get("properties", {}).items():
            if name not in known:
                yield f"{where}: {name} is gone"
            else:
                yield from self._widened(f"{where}.{name}", schema, known[name])
        for name in set(old.get("required", [])) - set(new.get("required", [])):
            if name in known:
                yield f"{where}: {name} may be left out now"
        for inner, other in _inner(old, new):
            yield from self._widened(f"{where}[]", inner, other)

    def _pair(self, before: Schema, after: Schema, *, asked: bool) -> tuple[Schema, Schema] | None:
        """Return both schemas, references resolved; None if these names were compared before."""
        if "$ref" in before and "$ref" in after:
            key = (before["$ref"], after["$ref"], asked)
            if key in self._seen:
                return None
            self._seen.add(key)
        old, new = self._found(self._released, before), self._found(self._now, after)
        return _plain(old, self._released), _plain(new, self._now)

    @staticmethod
    def _found(document: Schema, part: Schema) -> Schema:
        while "$ref" in part:
            found: Any = document
            for name in part["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            part = found
        return part


def _plain(schema: Schema, document: Schema) -> Schema:
    """Rewrite a nullable schema as one whose type includes null; leave others unchanged."""
    choices = [_Comparison._found(document, each) for each in schema.get("anyOf", [])]
    real = [each for each in choices if each != {"type": "null"}]
    if len(real) != 1 or len(real) == len(choices):
        return schema
    kinds = [*sorted(_kinds_of(real[0])), "null"]
    return {**{k: v for k, v in schema.items() if k != "anyOf"}, **real[0], "type": kinds}


def _kinds_of(schema: Schema) -> set[str]:
    kinds = schema.get("type")
    if kinds is None and "const" in schema:
        return {_KIND[type(schema["const"])]}
    if kinds is None and "enum" in schema:
        return {_KIND[type(word)] for word in schema["enum"]}
    if kinds is None:
        choices = schema.get("anyOf")
        return {kind for each in choices for kind in _kinds_of(each)} if choices else set(_ANY)
    return set(kinds) if isinstance(kinds, list) else {kinds}


_KIND = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_ANY = ("string", "boolean", "integer", "number", "null", "object", "array")


def _value_narrowed(where: str, old: Schema, new: Schema) -> Iterator[str]:
    """Compare a single request value: its types, words, bounds and pattern."""
    for kind in sorted(_kinds_of(old) - _kinds_of(new)):
        yield f"{where}: it cannot be {kind} any more"
    if "enum" in new and "enum" not in old and "const" not in old:
        yield f"{where}: only some words are taken now"
    elif "enum" in new and (gone := _words(old) - _words(new)):
        yield f"{where}: {', '.join(sorted(gone))} is not taken any more"
    for name in (*_FLOORS, *_CEILINGS):
        yield from _bound(where, name, old.get(name), new.get(name))
    if "pattern" in new and new["pattern"] not in (old.get("pattern"), *_wider(old)):
        yield f"{where}: its pattern is another one"


def _wider(old: Schema) -> Iterator[str]:
    return (wider for narrow, wider in WIDER_PATTERNS if narrow == old.get("pattern"))


def _value_widened(where: str, old: Schema, new: Schema) -> Iterator[str]:
    """Compare a single response value: its types, words, bounds and pattern."""
    for kind in sorted(_kinds_of(new) - _kinds_of(old)):
        yield f"{where}: it can be {kind} now"
    if new.get("additionalProperties") is False:
        yield f"{where}: it is closed, so no member could be added"
    if "enum" in old and (added := _words(new) - _words(old)):
        yield f"{where}: {', '.join(sorted(added))} is a new word"
    if "enum" in old and "enum" not in new and "const" not in new:
        yield f"{where}: any word is possible now"


def _inner(old: Schema, new: Schema) -> Iterator[tuple[Schema, Schema]]:
    """Yield the schemas of list items, and of members of objects with arbitrary names."""
    for name in ("items", "additionalProperties"):
        if isinstance(old.get(name), dict) and isinstance(new.get(name), dict):
            yield old[name], new[name]


def _words(schema: Schema) -> set[str]:
    return {str(word) for word in schema.get("enum", [schema.get("const")])}


def _bound(where: str, name: str, before: Any, after: Any) -> Iterator[str]:
    if after is None:
        return
    narrower = before is None or (after > before if name in _FLOORS else after < before)
    if narrower:
        yield f"{where}: its {name} is {after} now"


def _credentials(where: str, before: list[Any], after: list[Any]) -> Iterator[str]:
    for one in before:
        if after and one not in after:
            yield f"{where}: {' and '.join(one) or 'no credential'} does not suffice any more"
    if not before and after:
        yield f"{where}: it needs a credential now"


if __name__ == "__main__":
    from tests.contract import of_this_version, written

    refuse_options("tests.compatibility", __doc__)
    RELEASED.write_text(written(of_this_version()))
