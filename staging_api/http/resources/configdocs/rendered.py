"""``/renderedconfigdocs``: all documents of a version, layered and with their substitutions."""

import falcon

from staging_api.documents.messages import of_finding
from staging_api.documents.model import RenderingFailed
from staging_api.documents.reader import revision_number, version_named
from staging_api.documents.refusals import BufferConflict, RequestInvalid
from staging_api.documents.showing import rendered_text
from staging_api.errors import StagingApiError
from staging_api.http.conditions import not_modified
from staging_api.http.dependencies import Resource
from staging_api.http.resources.configdocs.answers import YAML, wants_secrets

_TITLE = "The documents cannot be rendered"


class RenderedConfigdocs(Resource):
    """Rendered documents."""

    answers_head = True

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the rendered documents of a version, or of a revision by its number."""
        version = _requested_version(req)
        secrets = wants_secrets(req)
        number = self.deps.documents.reader.number_of(version)
        digest = self.deps.documents.reader.find(number).digest
        # One revision has two responses: operators may request the one with secrets.
        etag = f'"{number}-{digest[:16]}-{"cleartext" if secrets else "redacted"}"'
        if not_modified(req, resp, etag):
            return
        rendered = self.deps.documents.reader.rendered(number)
        if rendered.rendering is None:
            raise _failed(RenderingFailed(rendered.findings))
        if not secrets and any(each.secret_paths for each in rendered.rendering.documents):
            resp.set_header("X-Redacted", "true")
        resp.content_type = YAML
        resp.data = rendered_text(rendered.rendering, secrets=secrets)


def _requested_version(req: falcon.Request) -> str:
    """Return the requested version or revision.

    Raises:
        RequestInvalid: both are given, though they may differ; or the revision is not a number.
        NotFound: no revision can have that number.
    """
    revision, version = req.get_param("revision"), req.get_param("version")
    if revision and version:
        raise RequestInvalid(
            "Invalid revision parameter",
            "give a version or a revision, not both",
        )
    return str(revision_number(revision)) if revision else version_named(version)


def _failed(error: RenderingFailed) -> StagingApiError:
    """Return the error: a conflict for missing documents, a bad request for wrong ones."""
    if not error.conflict:
        return error
    return BufferConflict(_TITLE, error.detail, [of_finding(each) for each in error.findings])
