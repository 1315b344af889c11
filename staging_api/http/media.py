"""What bodies of requests may be: JSON, and nothing else."""

import json
from typing import Any

import falcon
from falcon.media import Handlers, JSONHandler


def accept_only_json(app: falcon.App[Any, Any]) -> None:
    """Answer 415 to every other kind of body.

    Falcon reads HTML forms as well, and a form is what a page of somebody else's can make a browser
    send here without asking.
    """
    app.req_options.media_handlers = Handlers({falcon.MEDIA_JSON: JSONHandler(loads=_loads)})


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
