"""``/archives``: every archive that was requested, one row for each build."""

import falcon

from staging_api.http.dependencies import Resource
from staging_api.http.openapi import contract
from staging_api.http.report_bodies import RequestedArchiveList, RequestedArchiveQuery


class RequestedArchives(Resource):
    """The archives that were requested."""

    @contract(query=RequestedArchiveQuery, HTTP_200=RequestedArchiveList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the archives that were requested, ordered by archive_url.

        Each archive has the number of artifacts by state, their size, and the newest staging. With
        `prefix`, only archives whose archive_url begins with it are listed.
        """
        query: RequestedArchiveQuery = req.context.query
        page = self.deps.stagings.archives(query.prefix, limit=query.limit, after=query.after or "")
        resp.media = RequestedArchiveList.of(page)
