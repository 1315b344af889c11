"""Response bodies (validation result, YAML), and helpers for requests of several paths."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import falcon
from pydantic import BaseModel

from staging_api.documents.changing import Buffer, ChangeOrigin
from staging_api.documents.messages import Verdict
from staging_api.documents.refusals import moved
from staging_api.documents.service import ChangeResult
from staging_api.errors import Forbidden, Invalid
from staging_api.http.auth import origin
from staging_api.http.conditions import lists, not_modified
from staging_api.http.permissions import SECRETS
from staging_api.http.problems import rfc3339

YAML = "application/x-yaml"
_MAX_REASON_LENGTH = 500


def validation_result(done: ChangeResult, code: str) -> dict[str, Any]:
    """Build a Status document: Shipyard's validations, and beyond them the validated version."""
    verdict: Verdict = done.verdict
    return {
        "kind": "Status",
        "apiVersion": "v1.0",
        "metadata": {},
        "status": "Failure" if verdict.errors else "Success",
        "message": "Validations failed" if verdict.errors else "Validations succeeded",
        "reason": "Validation",
        "details": {"errorCount": verdict.errors, "messageList": list(verdict.messages)},
        "code": falcon.HTTP_400 if verdict.errors else code,
        "revision": done.buffer.revision,
        "digest": done.buffer.digest,
        **confirm_until(done.confirm_until),
    }


def confirm_until(time: datetime | None) -> dict[str, str]:
    """Return the field with the time when an unconfirmed commit is undone, or no field."""
    return {} if time is None else {"confirm_until": rfc3339(time)}


def author(req: falcon.Request) -> ChangeOrigin:
    """Return the author of a change, and the reason, which is the parameter ``reason``."""
    reason = req.get_param("reason")
    if reason is not None and (len(reason) > _MAX_REASON_LENGTH or "\0" in reason):
        raise Invalid.field("reason", f"must be at most {_MAX_REASON_LENGTH} characters")
    return ChangeOrigin(origin(req), reason or None)


def wants_secrets(req: falcon.Request) -> bool:
    """Return whether the response shows secrets: the caller requests them, and may see them.

    Raises:
        Forbidden: the caller may not see secrets.
    """
    requested = req.get_param_as_bool("cleartext-secrets") or False
    if requested:
        may_see_secrets(req)
    return requested


def may_see_secrets(req: falcon.Request) -> None:
    """Refuse a caller that may not see secrets.

    Raises:
        Forbidden: the caller has none of the required roles.
    """
    if not SECRETS & req.context.roles:
        raise Forbidden(f"secrets are shown to the roles {' and '.join(sorted(SECRETS))} only")


def show(req: falcon.Request, resp: falcon.Response, body: BaseModel) -> None:
    """Answer with a body, whose ETag is its digest, unless the caller has that version already."""
    # Half of the digest is enough to distinguish two states, and keeps the header short.
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    if not not_modified(req, resp, f'"{digest[:32]}"'):
        resp.media = body


def unless_moved(req: falcon.Request) -> Callable[[Buffer], None]:
    """Return a check that refuses if the buffer is not the one that ``If-Match`` names."""

    def unless(there: Buffer) -> None:
        if not matches(req, there.etags):
            raise moved("what If-Match names", there.revision)

    return unless


def matches(req: falcon.Request, etags: Sequence[str]) -> bool:
    """Return whether ``If-Match`` names one of `etags`, or is absent."""
    given = req.get_header("If-Match")
    return given is None or any(lists(given, etag, weak=False) for etag in etags)
