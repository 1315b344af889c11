"""Page of settings: it matches the code."""

from pathlib import Path

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from staging_api.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def settings_table() -> str:
    """Return the table of settings, as the page has to show it."""
    lines = ["| variable | default | range | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        cells = (f"`STAGING_{name.upper()}`", default, allowed(field), field.description)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def allowed(field: FieldInfo) -> str:
    """Return the range of numbers that a setting accepts."""
    bounds = {type(each): each for each in field.metadata}
    if Gt in bounds:
        return f"above {bounds[Gt].gt}"
    if Ge not in bounds:
        return ""
    least = bounds[Ge].ge
    return f"{least} to {bounds[Le].le}" if Le in bounds else f"{least} or more"


def test_the_table_of_settings_is_that_of_the_code():
    text = PAGE.read_text()
    assert settings_table() in text, f"the table should be:\n{settings_table()}"
