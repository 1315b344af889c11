"""Headers, parameters and the form of errors that all paths of Shipyard's clients share."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import falcon

from staging_api.documents.messages import of_finding
from staging_api.documents.model import DocumentsInvalid
from staging_api.documents.refusals import RequestInvalid
from staging_api.errors import Forbidden, Invalid, LockHeld, StagingApiError, Unauthenticated
from staging_api.http.parameters import meant
from staging_api.http.problems import ErrorForm, FalconRefusal, advise, retry_after
from staging_api.http.resources.configdocs.contract import CONFIGDOCS_PATHS

_PREFIX = "api/v1.0"
#: Paths below the base path; the same clients also request those of actions, which we do not serve.
_NAMES = (
    *("configdocs", "commitconfigdocs", "renderedconfigdocs", "health"),
    *("actions", "workflows", "site_statuses", "notedetails"),
)
_PATHS = ("versions", *(f"{_PREFIX}/{name}" for name in _NAMES))
_FOLDERS = tuple(f"{path}/" for path in _PATHS)
#: Headers that these clients may send; they do not change the response.
_VERBOSITIES = frozenset("012345")
#: Query parameters by path and method.
_PARAMETERS = {
    (path, method.upper()): frozenset(
        each["name"] for each in operation["parameters"] if each["in"] == "query"
    )
    for path, operations in CONFIGDOCS_PATHS.items()
    for method, operation in operations.items()
}
#: `Retry-After` is the delay until a client of this surface should repeat the request.
_BLOCKED = "Blocked by another process"


def is_surface(path: str) -> bool:
    """Return whether a path belongs to this surface."""
    return f"{path.strip('/')}/".startswith(_FOLDERS)


class ConfigdocsSurface:
    """Middleware that sets the request id that these clients log, and checks common parameters."""

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Set ``X-Shipyard-Req``, also for responses that no responder writes."""
        if is_surface(req.path):
            resp.set_header("X-Shipyard-Req", req.context.request_id)

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: Any, _params: Any
    ) -> None:
        """Refuse an invalid ``verbosity``, and a misspelt parameter.

        Raises:
            RequestInvalid: the verbosity is not a number from 0 to 5.
            Invalid: a parameter resembles one of this path: ``dry-run=true`` would commit documents
                that were to be validated only. Other unknown parameters are ignored, as they always
                were.
        """
        if not is_surface(req.path):
            return
        method = "GET" if req.method == "HEAD" else req.method
        known = _PARAMETERS.get((req.uri_template or "", method), frozenset())
        known |= getattr(resource, "list_parameters", frozenset())
        for name in req.params:
            if name not in known and (likely := meant(name, known)):
                raise Invalid.field(
                    name, f"is not a parameter of this path; did you mean {likely}?"
                )
        for given in req.get_param_as_list("verbosity") or ():
            if given not in _VERBOSITIES:
                raise RequestInvalid(
                    "Invalid verbosity parameter",
                    "If specified, verbosity parameter should be a value from 0 to 5",
                )


def status_error(
    _req: falcon.Request, resp: falcon.Response, status: int, error: StagingApiError
) -> None:
    """Answer an error in the form that these clients parse."""
    advise(resp, error)
    title, reason, messages = _words(error)
    code = falcon.util.code_to_http_status(status)
    document = {
        "kind": "status",
        "apiVersion": "v1.0",
        "metadata": {},
        "status": "Failure",
        "message": title,
        "reason": reason,
        "details": {
            "errorType": getattr(error, "error_type", "ApiError"),
            "errorCount": sum(bool(each.get("error")) for each in messages),
            "messageList": messages,
        },
        "code": code,
        "retry": error.retryable and not isinstance(error, LockHeld),
    }
    resp.status = code
    resp.content_type = falcon.MEDIA_JSON
    resp.data = json.dumps(document).encode()
    resp.text = resp.media = resp.stream = None


#: The form of errors on each of these paths.
STATUS_FORMS: Mapping[str, ErrorForm] = dict.fromkeys(_PATHS, status_error)


def _words(error: StagingApiError) -> tuple[str, str, Sequence[Mapping[str, Any]]]:
    """Return ``message``, ``reason`` and messageList."""
    if isinstance(error, LockHeld):
        reason = (
            "Another process is currently blocking this request with a lock for"
            f" {error.extra['lock']['kind']}. Lock expires in not more than {retry_after(error)}"
            " seconds"
        )
        return _BLOCKED, reason, _single(reason)
    if isinstance(error, Unauthenticated):
        reason = "Credentials are not established"
        return "Unauthenticated", reason, _single(f"{reason}: {error.detail}")
    if isinstance(error, Forbidden):
        reason = "Credentials do not permit access"
        return "Forbidden", reason, _single(f"{reason}: {error.detail}")
    if isinstance(error, DocumentsInvalid):
        title = "Document(s) invalid syntax or otherwise unsuitable"
        return title, error.detail, [of_finding(each) for each in error.findings]
    if isinstance(error, FalconRefusal):
        # A Falcon error, whose title and description these clients expect in reverse order.
        return error.detail, error.title, _single(error.detail)
    messages = getattr(error, "messages", ()) or _single(error.detail)
    return error.title, error.detail, messages


def _single(text: str) -> Sequence[Mapping[str, Any]]:
    return [{"message": text, "error": True}]
