"""`dataclass` of the standard library, which makes a frozen class in a fifth of the time.

Python 3.11 compiles six methods for each frozen data class. There are hundreds of them, so that was
a fourth of what a start took. Here only ``__init__`` is compiled; what compares, hashes and shows
instances and refuses changes is one function for all classes, given the names of the fields. All
else is as with the standard library, which makes classes of any other kind.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, InitVar
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

_Fields = Sequence[Field[Any]]
_OPTIONS = frozenset({"frozen", "eq", "kw_only"})


class _NotGiven:
    def __repr__(self) -> str:
        return "<factory>"


_NOT_GIVEN = _NotGiven()


def _quick_dataclass(cls: type | None = None, /, **options: bool) -> Any:
    if cls is None:
        return lambda decorated: _quick_dataclass(decorated, **options)
    if not options.get("frozen") or not options.keys() <= _OPTIONS:
        return dataclasses.dataclass(**options)(cls)
    return _frozen(cls, eq=options.get("eq", True), kw_only=options.get("kw_only", False))


# Checkers of types know only the one of the standard library.
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _quick_dataclass


def _frozen(cls: Any, *, eq: bool, kw_only: bool) -> Any:
    own = dict(vars(cls))
    if "__eq__" in own and own.get("__hash__") is None:
        own.pop("__hash__", None)  # so Python marks a class that has only `__eq__`
    # Finds the fields, and compiles nothing.
    dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    _refuse_init_variables(cls)
    fields = dataclasses.fields(cls)
    methods: dict[str, Callable[..., Any]] = {
        "__init__": _init(fields, has_more=hasattr(cls, "__post_init__")),
        "__repr__": _repr(fields),
    }
    if eq:
        methods |= {"__eq__": _eq(fields), "__hash__": _hash(fields)}
    for name, method in methods.items():
        if name not in own:
            method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"
            setattr(cls, name, method)
    cls.__setattr__, cls.__delattr__ = _refuse_to_set, _refuse_to_delete
    return cls


def _refuse_init_variables(cls: Any) -> None:
    for field in cls.__dataclass_fields__.values():
        kind = field.type
        if isinstance(kind, InitVar) or (isinstance(kind, str) and "InitVar[" in kind):
            raise TypeError(f"{cls.__name__}.{field.name}: use `dataclasses.dataclass` for InitVar")


def _init(fields: _Fields, *, has_more: bool) -> Callable[..., None]:
    """Compile what sets the fields of an instance."""
    given = [field for field in fields if field.init]
    by_name = [_parameter(field) for field in given if field.kw_only]
    parameters = [_parameter(field) for field in given if not field.kw_only]
    parameters += ["*", *by_name] if by_name else []
    lines = [_line(field) for field in fields if field.init or field.default_factory is not MISSING]
    lines.append("self.__post_init__()" if has_more else "pass")
    names: dict[str, Any] = {"_set": object.__setattr__, "_not_given": _NOT_GIVEN}
    names |= {f"_default_{field.name}": field.default for field in fields}
    names |= {f"_new_{field.name}": field.default_factory for field in fields}
    text = f"def __init__({', '.join(['self', *parameters])}):\n " + "\n ".join(lines)
    exec(text, names)  # noqa: S102 - made of the names of fields alone
    init: Callable[..., None] = names.pop("__init__")
    init.__annotations__ = {**{field.name: field.type for field in given}, "return": None}
    return init


def _parameter(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return f"{field.name}=_default_{field.name}"
    return f"{field.name}=_not_given" if field.default_factory is not MISSING else field.name


def _line(field: Field[Any]) -> str:
    name, new = field.name, f"_new_{field.name}()"
    if field.default_factory is MISSING:
        value = name
    else:
        value = f"{new} if {name} is _not_given else {name}" if field.init else new
    return f"_set(self, {name!r}, {value})"


def _repr(fields: _Fields) -> Callable[[Any], str]:
    names = [field.name for field in fields if field.repr]

    @recursive_repr()
    def shown(self: Any) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({values})"

    return shown


def _eq(fields: _Fields) -> Callable[[Any, Any], Any]:
    values = _values([field.name for field in fields if field.compare])

    def equals(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    return equals


def _hash(fields: _Fields) -> Callable[[Any], int]:
    values = _values([f.name for f in fields if (f.compare if f.hash is None else f.hash)])

    def hashed(self: Any) -> int:
        return hash(values(self))

    return hashed


def _values(names: Sequence[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _refuse_to_set(_self: Any, name: str, _value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
