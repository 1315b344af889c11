"""Catalogue: its entries, and a trial of a catalogue against an archive, which stages nothing."""

import shlex
from dataclasses import replace

from staging_api.catalogue.catalogue import Catalogue
from staging_api.errors import CatalogueInvalid, Invalid, StagingApiError
from staging_api.http.catalogue_bodies import CatalogueCheckRequest
from staging_api.http.openapi import validated
from staging_api.staging.catalogue_check import CatalogueResult
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.screen import Form, ScreenAction, ScreenContent, View

_CHECK = "POST /catalogue/check"


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """List the entries of each catalogue, or of the catalogue for one archive."""
    return _shown(deps, view.query.get("u", "").strip(), None)


def _try(deps: UiDependencies, _view: View, form: Form) -> ScreenContent:
    given = {"archive_url": form.get("archive_url", ""), "catalogue": form.get("catalogue") or None}
    body = validated(CatalogueCheckRequest, given)
    stagings = deps.api.stagings
    url = stagings.check_url(body.archive_url)
    catalogue = stagings.catalogues.of(url)
    if body.catalogue is not None:
        try:
            catalogue = Catalogue.read(body.catalogue)
        except CatalogueInvalid as error:
            raise Invalid.field("catalogue", error.detail) from None
    result = stagings.catalogue_check.run(catalogue, url)
    return replace(_shown(deps, "", result, url.canonical), title="A catalogue tried", live=False)


TRY = ScreenAction(_CHECK, _try, "Nothing was staged.")


def _shown(
    deps: UiDependencies, archive_url: str, result: CatalogueResult | None, tried: str = ""
) -> ScreenContent:
    stagings = deps.api.stagings
    entries, refused = list(stagings.catalogues), ""
    if archive_url:
        try:
            url = stagings.check_url(archive_url)
            entries = [entry for entry in entries if entry.covers(url)][:1]
        except StagingApiError as error:
            # Shown beside the field, where the address can be corrected; the page itself is not an
            # error.
            entries, refused = [], error.detail
    return ScreenContent(
        "catalogue.html",
        "Catalogue",
        {
            "entries": entries,
            "archive_url": archive_url,
            "refused": refused,
            "result": result,
            "tried": tried,
            "sources": [entry.url.canonical for entry in stagings.allowed.entries],
        },
        live=False,
        copies=Copies(
            api_path("/catalogue", archive_url=archive_url),
            cli=shlex.join(["staging-api", "catalogue", *filter(None, [archive_url])]),
            python="for each in client.catalogues(): print(each['name'])",
        ),
    )
