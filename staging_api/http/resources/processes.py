"""``/processes`` and ``/counts``: what runs, and how much was done."""

import falcon

from staging_api.heartbeats.service import ProcessService
from staging_api.http.openapi import answers, spec
from staging_api.http.report_bodies import (
    CountList,
    CountQuery,
    NameQuery,
    ProcessList,
)
from staging_api.staging.counts import Counts


class Processes:
    """The processes of the service."""

    def __init__(self, processes: ProcessService) -> None:
        self._processes = processes

    @spec.validate(query=NameQuery, resp=answers(HTTP_200=ProcessList), tags=["about"])
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the processes that were seen within a day, by name, and the database.

        One that ended in good order is not listed; one that is not `alive` died, or cannot reach
        the database.
        """
        query: NameQuery = req.context.query
        page = self._processes.page(limit=query.limit, after=query.after or "")
        found = ProcessList.filled(page, database=self._processes.database_facts())
        # By alias: `schema` is the field of the contract.
        resp.media = found.model_dump(mode="json", by_alias=True)


class EventCounts:
    """How many stagings and artifacts entered which state."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    @spec.validate(query=CountQuery, resp=answers(HTTP_200=CountList), tags=["events"])
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Count how many stagings and artifacts entered which state, by minute, hour or day.

        The newest interval first; those in which nothing happened are listed, too.
        """
        query: CountQuery = req.context.query
        page = self._counts.page(query.by, limit=query.limit, before=query.after)
        resp.media = CountList.of(page)
