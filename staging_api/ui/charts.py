"""Small charts, drawn by the server: one bar per minute, the newest on the right."""

from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 40.0
_STEP, _GAP = 5.0, 1.0


@dataclass(frozen=True)
class ChartBar:
    """A part of one minute's bar; `kind` is the kind of items counted."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """A chart with a number: `label` describes the number, `about` the bars."""

    number: str
    label: str
    about: str
    bars: Sequence[ChartBar]
    width: float


def chart_of(
    number: str, label: str, about: str, series: Sequence[tuple[str, Sequence[float]]]
) -> Chart:
    """Stack series of equal length, oldest value first; the highest bar is as high as the chart."""
    values = [value for _, value in series]
    length = max(map(len, values), default=0)
    # 1 if all values are zero, because the heights are divided by it.
    highest = max((sum(each) for each in zip(*values, strict=True)), default=0.0) or 1.0
    bars: list[ChartBar] = []
    for place in range(length):
        top = HEIGHT
        for kind, heights in series:
            height = round(heights[place] / highest * HEIGHT, 1)
            if height:
                top = round(top - height, 1)
                bars.append(ChartBar(kind, place * _STEP, top, _STEP - _GAP, height))
    return Chart(number, label, about, bars, length * _STEP)
