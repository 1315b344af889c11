"""A set of documents in the shape of a real site; the same in every run."""

import random
from collections.abc import Iterator
from typing import Any

import yaml

LAYERS = ("global", "type", "site")
#: Counts of a real site set: 423 documents, of which 30 are DataSchemas and one the policy.
SCHEMAS, SECRETS, BASES, CHILDREN, PLAIN = 30, 154, 48, 48, 142
SUBSTITUTIONS = 880
_WORDS = ("cluster", "network", "storage", "region", "ceph", "proxy", "ingress", "metrics")


def site(copies: int = 1) -> dict[str, bytes]:
    """Make collections of 423 documents with 880 substitutions each; the first has the policy."""
    return {f"site-{copy}": stream(documents(copy)) for copy in range(copies)}


def stream(documents: Iterator[dict[str, Any]]) -> bytes:
    """Write documents as a YAML stream, like Shipyard's client."""
    return yaml.dump_all(documents, Dumper=yaml.CSafeDumper, explicit_start=True).encode()


def documents(copy: int = 0) -> Iterator[dict[str, Any]]:
    """Make a set; sets with different numbers differ in names only."""
    rng = random.Random(copy)
    if copy == 0:
        yield _control("deckhand/LayeringPolicy/v1", "policy", {"layerOrder": list(LAYERS)})
        for number in range(SCHEMAS):
            yield _control("deckhand/DataSchema/v1", _kind(number), _schema())
    for number in range(SECRETS):
        yield _document("deckhand/Passphrase/v1", f"secret-{copy}-{number}", "global", _text(rng))
    for number in range(BASES):
        name = f"base-{copy}-{number}"
        made = _document(_kind(number), name, "global", _chart(rng, 14))
        made["metadata"]["labels"] = {"name": name}
        made["metadata"]["layeringDefinition"]["abstract"] = True
        yield made
    counts = _counts(rng, CHILDREN + PLAIN)
    for number in range(CHILDREN):
        made = _document(_kind(number), f"child-{copy}-{number}", "site", _chart(rng, 8))
        made["metadata"]["layeringDefinition"] |= {
            "parentSelector": {"name": f"base-{copy}-{number}"},
            "actions": [{"method": "merge", "path": "."}],
        }
        yield _with_substitutions(made, rng, counts[number], copy)
    for number in range(PLAIN):
        made = _document(_kind(number), f"plain-{copy}-{number}", "type", _chart(rng, 20))
        yield _with_substitutions(made, rng, counts[CHILDREN + number], copy)


def _kind(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return f"site/Kind{letters[number % SCHEMAS // 26]}{letters[number % SCHEMAS % 26]}/v1"


def _counts(rng: random.Random, users: int) -> list[int]:
    counts = [0] * users
    for _ in range(SUBSTITUTIONS):
        counts[rng.randrange(users)] += 1
    return counts


def _with_substitutions(
    made: dict[str, Any], rng: random.Random, count: int, copy: int
) -> dict[str, Any]:
    substitutions = []
    for number in range(count):
        name = f"secret-{copy}-{rng.randrange(SECRETS)}"
        source = {"schema": "deckhand/Passphrase/v1", "name": name, "path": "."}
        if number % 2:
            dest: dict[str, Any] = {"path": f".values.section_{number}.file", "pattern": "PASSWORD"}
        else:
            dest = {"path": f".secrets.entry_{number}.value"}
        substitutions.append({"src": source, "dest": dest})
    if substitutions:
        made["metadata"]["substitutions"] = substitutions
    return made


def _control(schema: str, name: str, data: Any) -> dict[str, Any]:
    return {
        "schema": schema,
        "metadata": {"schema": "metadata/Control/v1", "name": name},
        "data": data,
    }


def _document(schema: str, name: str, layer: str, data: Any) -> dict[str, Any]:
    secret = schema.startswith("deckhand/")
    metadata = {
        "schema": "metadata/Document/v1",
        "name": name,
        "storagePolicy": "encrypted" if secret else "cleartext",
        "layeringDefinition": {"abstract": False, "layer": layer},
    }
    return {"schema": schema, "metadata": metadata, "data": data}


def _text(rng: random.Random) -> str:
    lines = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=64)) for _ in range(20)]
    return "\n".join(lines) if rng.random() < 0.5 else lines[0]


def _chart(rng: random.Random, sections: int) -> dict[str, Any]:
    values = {
        f"section_{number}": {
            "enabled": rng.random() < 0.5,
            "replicas": rng.randrange(9),
            "file": f"{rng.choice(_WORDS)} = PASSWORD",
            "hosts": [f"{rng.choice(_WORDS)}-{rng.randrange(99)}.example" for _ in range(3)],
        }
        for number in range(sections)
    }
    return {"chart_name": rng.choice(_WORDS), "values": values}


def _schema() -> dict[str, Any]:
    section = {
        "type": "object",
        "properties": {
            "enabled": {"type": "boolean"},
            "replicas": {"type": "integer", "minimum": 0},
            "file": {"type": "string"},
            "hosts": {"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9.-]+$"}},
        },
    }
    return {
        "$schema": "http://json-schema.org/schema#",
        "type": "object",
        "properties": {
            "chart_name": {"type": "string"},
            "values": {"type": "object", "properties": {"section_0": section}},
        },
        "required": ["chart_name"],
    }
