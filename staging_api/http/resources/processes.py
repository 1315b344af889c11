"""``/processes`` and ``/counts``: running processes, and the amount of work done."""

import falcon

from staging_api.http.bodies import NameQuery
from staging_api.http.dependencies import Resource
from staging_api.http.openapi import contract
from staging_api.http.report_bodies import CountList, CountQuery, ProcessList


class Processes(Resource):
    """The processes of the service."""

    @contract(query=NameQuery, HTTP_200=ProcessList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the processes that were seen within a day, by name, and the database.

        A process that ended regularly is not listed; a process that is not `alive` died, or cannot
        reach the database.
        """
        query: NameQuery = req.context.query
        page = self.deps.processes.page(limit=query.limit, after=query.after or "")
        found = ProcessList.filled(page, database=self.deps.processes.database_facts())
        # By alias: the contract's field is `schema`.
        resp.media = found.model_dump(mode="json", by_alias=True)


class EventCounts(Resource):
    """Numbers of stagings and artifacts by the state that they entered."""

    @contract(query=CountQuery, HTTP_200=CountList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Count how many stagings and artifacts entered which state, by minute, hour or day.

        The newest interval comes first; empty intervals are listed, too.
        """
        query: CountQuery = req.context.query
        page = self.deps.counts.page(query.by, limit=query.limit, before=query.after)
        resp.media = CountList.of(page)
