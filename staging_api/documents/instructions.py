"""Parser of rendering instructions in a document's metadata: layer, actions and substitutions."""

from typing import Any

from staging_api.documents.fields import Fields
from staging_api.documents.model import (
    DEFAULT_LIMITS,
    Destination,
    LayeringAction,
    Method,
    Path,
    Substitution,
)
from staging_api.documents.paths import PathInvalid, parse_path
from staging_api.documents.patterns import PatternInvalid, compiled

_METHODS = [method.value for method in Method]


def layering_of(definition: Fields) -> dict[str, Any]:
    """Parse ``layeringDefinition``: layer, abstract, and parentSelector together with actions."""
    if not definition.sound:
        return {}
    definition.only("layer", "abstract", "parentSelector", "actions")
    layer = definition.text("layer")
    if definition.value("layer") == "":
        definition.refuse("layer", "must not be empty")
    selector = definition.scalars("parentSelector")
    actions = tuple(_action(each) for each in definition.elements("actions"))
    for key, value, other in (
        ("parentSelector", selector, "actions"),
        ("actions", actions, "parentSelector"),
    ):
        if key in definition and not value:
            definition.refuse(key, "must not be empty")
        if key in definition and other not in definition:
            definition.refuse(other, f"is missing, and is needed beside {key}")
    return {
        "layer": layer,
        "abstract": definition.flag("abstract"),
        "parent_selector": selector,
        "actions": actions,
    }


def substitutions_of(metadata: Fields) -> tuple[Substitution, ...]:
    """Parse the list ``substitutions``."""
    return tuple(_substitution(each) for each in metadata.elements("substitutions"))


def _action(fields: Fields) -> LayeringAction:
    fields.only("method", "path")
    method = fields.text("method", among=_METHODS)
    path = _path(fields)
    # Authors may write the path relative to the document, ``.data.hosts``, or to its data,
    # ``.hosts``.
    within_data = path[1:] if path[:1] == ("data",) else path
    return LayeringAction(Method(method) if method in _METHODS else Method.MERGE, within_data)


def _substitution(fields: Fields) -> Substitution:
    fields.only("src", "dest")
    source = fields.fields("src")
    source.only("schema", "name", "path", "pattern", "match_group", "deepcopy")
    source.flag("deepcopy")
    pattern = _pattern(source)
    group = source.integer("match_group", minimum=0, default=0)
    if pattern is not None and not _has_group(pattern, group):
        source.refuse("match_group", "is a group that the pattern does not have")
    return Substitution(
        schema=source.text("schema") if source.sound else "",
        name=source.text("name") if source.sound else "",
        path=_path(source),
        pattern=pattern,
        match_group=group,
        destinations=tuple(_destination(each) for each in fields.one_or_more("dest")),
    )


def _destination(fields: Fields) -> Destination:
    fields.only("path", "pattern", "recurse")
    path = fields.value("path")
    if isinstance(path, str) and not path.startswith((".", "$")):
        fields.refuse("path", "must start with '.' or '$'")
    depth = None
    if "recurse" in fields:
        recurse = fields.fields("recurse")
        recurse.only("depth")
        if recurse.sound and "depth" not in recurse:
            recurse.refuse("depth", "is missing, and must be a whole number, at least -1")
        depth = recurse.integer("depth", minimum=-1, default=0)
    return Destination(_path(fields), _pattern(fields), depth)


def _path(fields: Fields) -> Path:
    text = fields.text("path") if fields.sound else ""
    if not text:
        if fields.sound and fields.value("path") == "":
            fields.refuse("path", "must not be empty: '.' is the whole")
        return ()
    try:
        path = parse_path(text)
    except PathInvalid as error:
        fields.refuse("path", str(error))
        return ()
    if len(path) > DEFAULT_LIMITS.depth:
        fields.refuse("path", f"goes {len(path)} deep, and may go {DEFAULT_LIMITS.depth}")
    if any(isinstance(step, int) and step > DEFAULT_LIMITS.list_index for step in path):
        fields.refuse("path", f"has an index above {DEFAULT_LIMITS.list_index}")
    return path


def _pattern(fields: Fields) -> str | None:
    pattern = fields.optional_text("pattern")
    if pattern is None:
        return None
    try:
        compiled(pattern)
    except PatternInvalid as error:
        fields.refuse("pattern", str(error))
        return None
    return pattern


def _has_group(pattern: str, group: int) -> bool:
    return group <= compiled(pattern).groups
