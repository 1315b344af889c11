"""Format numbers of bytes for people, alike on the command line and on pages."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size(count: float | None) -> str:
    """Return a number of bytes with a unit; an empty text for None."""
    if count is None:
        return ""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - SI units
        count, unit = count / 1000, unit + 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} {_UNITS[unit]}"
