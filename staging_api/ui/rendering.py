"""Templates: everything is escaped, and a missing name is an error, not an empty text.

The template engine is imported with the first page, because many processes never show one.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from staging_api.sizes import size
from staging_api.ui import formats
from staging_api.ui.assets import asset_url

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a template in ``templates`` with these names."""
    return _environment().get_template(template).render(context)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Templates do not change while a process is running.
        auto_reload=False,
    )
    for each in (
        formats.moment,
        formats.age,
        formats.countdown,
        formats.duration,
        size,
        formats.ident,
        formats.digest,
        formats.words,
        formats.counted,
        formats.build_url,
        formats.last_segment,
    ):
        made.filters[each.__name__] = each
    made.globals["asset"] = asset_url
    return made
