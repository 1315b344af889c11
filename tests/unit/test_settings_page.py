"""The page of settings says what the code does."""

from pathlib import Path

from staging_api.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def settings_table() -> str:
    """The table of settings, as the page has to show it."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        lines.append(f"| `STAGING_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)


def test_the_table_of_settings_is_that_of_the_code():
    text = PAGE.read_text()
    assert settings_table() in text, f"the table should be:\n{settings_table()}"
