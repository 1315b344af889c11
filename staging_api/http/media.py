"""What bodies of requests may be: JSON, and not too much of it."""

import json
from typing import Any

import falcon
from falcon.media import Handlers, JSONHandler

from staging_api.errors import LimitExceeded

#: More than any request of this API needs; what is larger is not read into memory.
MAX_BODY_BYTES = 1 << 20


def accept_only_json(app: falcon.App[Any, Any]) -> None:
    """Answer 415 to every other kind of body.

    Falcon reads HTML forms as well, and a form is what a page of somebody else's can make a browser
    send here without asking.
    """
    app.req_options.media_handlers = Handlers({falcon.MEDIA_JSON: JSONHandler(loads=_loads)})


def check_length(req: falcon.Request) -> None:
    """Refuse a body that is too long before any of it is read.

    Raises:
        LimitExceeded: it is longer than `MAX_BODY_BYTES`.
    """
    if (req.content_length or 0) > MAX_BODY_BYTES:
        raise LimitExceeded(f"the body may have {MAX_BODY_BYTES} bytes, not {req.content_length}")


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
