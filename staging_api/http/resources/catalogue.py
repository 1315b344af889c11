"""``/catalogue``: the artifacts that an archive can have, and trying a catalogue on an archive."""

import falcon

from staging_api.catalogue.catalogue import Catalogue
from staging_api.errors import CatalogueInvalid, Invalid
from staging_api.http.catalogue_bodies import (
    CatalogueBody,
    CatalogueCheckBody,
    CatalogueCheckRequest,
    CatalogueList,
    CatalogueQuery,
)
from staging_api.http.dependencies import Resource
from staging_api.http.openapi import contract


class AllCatalogues(Resource):
    """The catalogues of the service."""

    @contract(query=CatalogueQuery, HTTP_200=CatalogueList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the artifacts that archives can have: all catalogues, or that of one archive."""
        query: CatalogueQuery = req.context.query
        entries = list(self.deps.stagings.catalogues)
        if query.archive_url is not None:
            url = self.deps.stagings.check_url(query.archive_url)
            entries = [entry for entry in entries if entry.covers(url)][:1]
        resp.media = CatalogueList(items=[CatalogueBody.of(entry) for entry in entries])


class CatalogueChecks(Resource):
    """A catalogue that is not in use yet."""

    @contract(404, 413, 415, 422, 502, json=CatalogueCheckRequest, HTTP_200=CatalogueCheckBody)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Try a catalogue on an archive, of which only the list of objects is read.

        Returns for each entry the matching objects and the paths of their files, and the
        objects that no entry matches.
        """
        body: CatalogueCheckRequest = req.context.json
        url = self.deps.stagings.check_url(body.archive_url)
        catalogue = self.deps.stagings.catalogues.of(url)
        if body.catalogue is not None:
            try:
                catalogue = Catalogue.read(body.catalogue)
            except CatalogueInvalid as error:
                raise Invalid.field("catalogue", error.detail) from None
        resp.media = CatalogueCheckBody.of(self.deps.stagings.catalogue_check.run(catalogue, url))
