"""Charts of minutes: stacked bars, scaled to the highest minute, newest at the right."""

from staging_api.ui.charts import chart_of


def test_bars_are_stacked_and_the_highest_minute_fills_the_height():
    chart = chart_of("4", "ended", "by minute", [("staged", [1, 0, 3]), ("failed", [0, 0, 1])])
    drawn = [(bar.kind, bar.x, bar.y, bar.height) for bar in chart.bars]
    assert drawn == [("staged", 0, 30, 10), ("staged", 10, 10, 30), ("failed", 10, 0, 10)]
    assert chart.width == 15


def test_an_hour_without_anything_has_no_bars_and_is_as_wide_as_another():
    chart = chart_of("0", "ended", "by minute", [("staged", [0, 0])])
    assert (chart.bars, chart.width) == ([], 10)


def test_a_chart_of_nothing_has_no_width():
    chart = chart_of("0", "ended", "by minute", [])
    assert (chart.bars, chart.width) == ([], 0)
