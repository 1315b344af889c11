"""Small resources that are not screens: the entry path, the theme, badges."""

import falcon
from markupsafe import escape

from staging_api.errors import Invalid, NotFound, SourceNotAllowed
from staging_api.staging.lists import StagingFilter
from staging_api.ui.answering import check_same_origin, go_to, is_own_page
from staging_api.ui.dependencies import UiResource
from staging_api.ui.formats import last_segment
from staging_api.ui.shell import THEME_COOKIE, THEMES, theme_of

_YEAR_SECONDS = 31_536_000
# Average for Verdana at 11 px: the server has no font to measure a name with.
_CHARACTER_WIDTH, _PADDING = 6.6, 10
_COLOURS = {"staged": "#17703f", "failed": "#b3261e", "cancelled": "#566273"}


class UiRoot:
    """``/ui``: redirects to the first screen."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Redirect to the first screen."""
        go_to(resp, "/")


class Theme:
    """``/ui/theme``: switches to the next theme, for browsers without JavaScript."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store the next theme, and go back to the page."""
        check_same_origin(req)
        chosen = THEMES[(THEMES.index(theme_of(req)) + 1) % len(THEMES)]
        resp.set_cookie(
            THEME_COOKIE,
            chosen,
            max_age=_YEAR_SECONDS,
            path="/",
            same_site="Strict",
            # Not a secret, and our script writes it, too.
            secure=False,
            http_only=False,
        )
        back = req.get_param("back", default="/")
        go_to(resp, back if is_own_page(back) else "/")


class Badge(UiResource):
    """``/ui/badge?u=URL``: the state of a build as an image, for pages of other sites."""

    answers_head = True

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Draw the badge.

        Raises:
            NotFound: the build was never requested.
        """
        given = req.get_param("u", default="")
        try:
            url = self._deps.api.stagings.check_url(given).canonical
        except (Invalid, SourceNotAllowed):
            url = given
        only = StagingFilter(equal={"archive_url": url})
        newest = self._deps.api.stagings.page(limit=1, only=only).items
        if not newest:
            raise NotFound("no build of this URL was requested")
        resp.content_type = "image/svg+xml"
        resp.text = _badge(last_segment(url), newest[0].state)
        # An image can be opened as a page, too: nothing in a name may be executed.
        resp.set_header("Content-Security-Policy", "default-src 'none'")
        # Sites that cache images for their readers would show an old state for hours.
        resp.set_header("Cache-Control", "no-cache")


def _badge(name: str, state: str) -> str:
    words = state.replace("_", " ")
    left = len(name) * _CHARACTER_WIDTH + _PADDING
    right = len(words) * _CHARACTER_WIDTH + _PADDING
    colour = _COLOURS.get(state, "#1d57b8")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:.0f}" height="20" role="img"'
        f' aria-label="{escape(name)} {escape(words)}">'
        f'<rect width="{left:.0f}" height="20" fill="#3d4752"/>'
        f'<rect x="{left:.0f}" width="{right:.0f}" height="20" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="5" y="14">{escape(name)}</text>'
        f'<text x="{left + 5:.0f}" y="14">{escape(words)}</text></g></svg>'
    )
