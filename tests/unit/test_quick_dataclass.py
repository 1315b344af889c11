"""Our frozen data classes beside those of the standard library."""

import copy
import dataclasses
import inspect
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, InitVar, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pytest

import staging_api
from staging_api import quick_dataclass

Maker = Callable[..., Any]
#: Rooms that import nothing of ours, and few classes of which a start needs.
ALONE = ("debian", "embedded_postgres")


def classes_by(made: Maker) -> Iterator[tuple[Any, list[Callable[[Any], Any]]]]:
    """Classes of each form that there is, and ways to make instances of them."""

    @made(frozen=True)
    class Plain:
        """Has defaults."""

        first: int
        second: str = "x"
        shared: ClassVar[int] = 3
        more: list[int] = field(default_factory=list)

        @cached_property
        def twice(self) -> int:
            return 2 * self.first

    yield (
        Plain,
        [lambda c: c(1), lambda c: c(1, "x", []), lambda c: c(2), lambda c: c(1, more=[1])],
    )

    @made(frozen=True)
    class Longer(Plain):
        """Inherits, and changes what it inherits."""

        second: str = "y"
        last: float = 0.5

        def __post_init__(self) -> None:
            object.__setattr__(self, "last", self.last + 1)

    yield Longer, [lambda c: c(1), lambda c: c(1, "x"), lambda c: c(1, last=2)]

    @made(frozen=True, kw_only=True)
    class Named:
        """Its fields have names only."""

        one: int = 1
        two: int

    yield Named, [lambda c: c(two=2), lambda c: c(one=2, two=1), lambda c: c(two=2, one=1)]

    @made(frozen=True)
    class Partly:
        """Not all of its fields count, are shown or given."""

        counts: int
        told: int = field(compare=False)
        hidden: int = field(default=0, repr=False)
        hashed: int = field(default=0, hash=False)
        own: list[int] = field(default_factory=lambda: [7], init=False, compare=False)
        fixed: int = field(default=5, init=False)
        named: int = field(default=0, kw_only=True)

    yield (
        Partly,
        [lambda c: c(1, 2), lambda c: c(1, 3), lambda c: c(1, 2, 1), lambda c: c(1, 2, named=4)],
    )

    @made(frozen=True)
    class Empty:
        """Has no field."""

    yield Empty, [lambda c: c(), lambda c: c()]

    @made(frozen=True, eq=False)
    class Same:
        """Is equal to itself only."""

        value: int

    yield Same, [lambda c: c(1), lambda c: c(1)]

    @made(frozen=True)
    class Itself:  # noqa: PLW1641 - it gets one
        """Has methods of its own."""

        value: int

        def __init__(self, text: str) -> None:
            object.__setattr__(self, "value", int(text))

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "itself"

    yield Itself, [lambda c: c("1"), lambda c: c("2")]

    @made(frozen=True)
    class Hashed:
        """Has a hash of its own."""

        value: int

        def __hash__(self) -> int:
            return 12

    yield Hashed, [lambda c: c(1), lambda c: c(2)]


PAIRS = list(
    zip(classes_by(quick_dataclass.dataclass), classes_by(dataclasses.dataclass), strict=True)
)


def shown(value: Any) -> str:
    """How it is shown, but for the function in which its class was made."""
    return re.sub(r"0x[0-9a-f]+", "", repr(value))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0][0].__name__)
def test_instances_are_as_those_of_the_standard_library(pair: Any) -> None:
    (ours, ways), (theirs, _) = pair
    for way in ways:
        mine, model = way(ours), way(theirs)
        assert shown(mine) == shown(model)
        assert dataclasses.asdict(mine) == dataclasses.asdict(model)
        assert (mine == model) is (type(model).__name__ == "Itself")
        assert copy.copy(mine).__dict__ == mine.__dict__
        for other in ways:
            assert (mine == other(ours)) == (model == other(theirs))
            if mine == other(ours):
                assert (outcome(hash, mine) == outcome(hash, other(ours))) == (
                    outcome(hash, model) == outcome(hash, other(theirs))
                )


def outcome(call: Callable[..., Any], *given: Any) -> Any:
    """What a call returns, or the error that it raises."""
    try:
        return call(*given)
    except (TypeError, FrozenInstanceError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0][0].__name__)
def test_classes_are_as_those_of_the_standard_library(pair: Any) -> None:
    (ours, ways), (theirs, _) = pair
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert ours.__match_args__ == theirs.__match_args__
    assert [f.name for f in dataclasses.fields(ours)] == [
        f.name for f in dataclasses.fields(theirs)
    ]
    assert ours.__init__.__qualname__ == theirs.__init__.__qualname__
    mine, model = ways[0](ours), ways[0](theirs)
    changes: list[dict[str, Any]] = [{"first": 9}, {"value": 9}, {"own": []}, {"none": 1}]
    for change in changes:
        try:
            expected = shown(dataclasses.replace(model, **change))
        except (TypeError, ValueError) as error:
            with pytest.raises(type(error)):
                dataclasses.replace(mine, **change)
        else:
            assert shown(dataclasses.replace(mine, **change)) == expected
    for name in (*(f.name for f in dataclasses.fields(ours)), "other"):
        assert outcome(setattr, mine, name, 1) == outcome(setattr, model, name, 1)
        assert outcome(delattr, mine, name) == outcome(delattr, model, name)


@quick_dataclass.dataclass(frozen=True)
class Kept:
    """Can be found by its name."""

    value: Any


def test_instances_are_pickled_and_may_hold_themselves() -> None:
    assert pickle.loads(pickle.dumps(Kept(3))) == Kept(3)
    held: list[Kept] = []
    held.append(Kept(held))
    assert repr(held[0]) == "Kept(value=[...])"


def test_a_value_that_is_worked_out_once_is_kept() -> None:
    (plain, ways), _ = PAIRS[0]
    assert ways[0](plain).twice == 2


def test_other_kinds_are_made_by_the_standard_library() -> None:
    @quick_dataclass.dataclass
    class Changes:
        value: int

    @quick_dataclass.dataclass(frozen=True, slots=True)
    class Slotted:
        value: int

    changes = Changes(1)
    changes.value = 2
    assert repr(changes).endswith("Changes(value=2)")
    assert not hasattr(Slotted(1), "__dict__")


def test_a_class_that_it_would_make_wrongly_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Odd\.given: use"):

        @quick_dataclass.dataclass(frozen=True)
        class Odd:
            given: InitVar[int]


def test_only_what_makes_an_instance_is_compiled() -> None:
    (first, _), (second, _) = PAIRS[0][0], PAIRS[3][0]
    for name in ("__eq__", "__hash__", "__setattr__", "__delattr__"):
        assert getattr(first, name).__code__ is getattr(second, name).__code__
    assert first.__init__.__code__ is not second.__init__.__code__


def test_frozen_classes_of_the_service_are_made_by_it() -> None:
    package = Path(staging_api.__file__).parent
    slow = [
        file
        for file in package.rglob("*.py")
        if file.relative_to(package).parts[0] not in ALONE
        and re.search(r"^ *@dataclass\(.*frozen=True", text := file.read_text(), re.MULTILINE)
        and "from staging_api.quick_dataclass import dataclass\n" not in text
    ]
    assert not slow
