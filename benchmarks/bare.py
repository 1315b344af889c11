"""The peer of the already-staged answer: a bare Falcon resource that runs one SELECT."""

import os

import falcon
from sqlalchemy import create_engine, text

_engine = create_engine(os.environ["BARE_DATABASE_URL"], isolation_level="AUTOCOMMIT", pool_size=16)
_query = text("SELECT id, state FROM stagings ORDER BY id DESC LIMIT 1")


class Newest:
    """The newest staging."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Read the query, ask the database, answer."""
        with _engine.connect() as conn:
            row = conn.execute(_query).one()
        resp.text = str(bool(row.id and req.get_param("archive_url")))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Parse the body, ask the database, answer."""
        asked = req.get_media()["archive_url"]
        with _engine.connect() as conn:
            row = conn.execute(_query).one()
        resp.media = {"id": row.id, "state": row.state, "archive_url": asked}


app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
app.add_route("/", Newest())
