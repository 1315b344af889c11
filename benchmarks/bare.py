"""Peers for response times: bare Falcon resources that run one SELECT, or send one file."""

import os
from pathlib import Path

import falcon
from sqlalchemy import create_engine, text

_engine = create_engine(os.environ["BARE_DATABASE_URL"], isolation_level="AUTOCOMMIT", pool_size=16)
_file = Path(os.environ.get("BARE_FILE", os.devnull))
_query = text("SELECT id, state FROM stagings ORDER BY id DESC LIMIT 1")


class Newest:
    """The newest staging."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Parse the query, run the SELECT, and respond."""
        with _engine.connect() as conn:
            row = conn.execute(_query).one()
        resp.text = str(bool(row.id and req.get_param("archive_url")))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Parse the body, run the SELECT, and respond."""
        asked = req.get_media()["archive_url"]
        with _engine.connect() as conn:
            row = conn.execute(_query).one()
        resp.media = {"id": row.id, "state": row.state, "archive_url": asked}


class OneFile:
    """A file on disk."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Send the file."""
        resp.set_stream(_file.open("rb"), _file.stat().st_size)


app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
app.add_route("/", Newest())
app.add_route("/file", OneFile())
