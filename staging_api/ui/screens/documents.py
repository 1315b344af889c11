"""Configuration documents: the buffer compared with the committed version, and all revisions."""

from collections.abc import Mapping, Sequence
from typing import Any

from staging_api.documents.changing import ChangeOrigin
from staging_api.documents.model import Finding
from staging_api.documents.reader import ComparisonRequest
from staging_api.documents.service import CommitRequest
from staging_api.errors import Conflict, Invalid, StagingApiError, Unavailable
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import counted
from staging_api.ui.screen import ActionDone, Form, ScreenAction, ScreenContent, View

_REVISIONS_SHOWN = 50
_CHANGES_SHOWN = 50
_PATH = "/ui/documents"


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show the changes in the buffer, and the revisions."""
    reader = deps.api.documents.reader
    before = view.query.get("after", "")
    state = reader.buffer_state()
    page = reader.revisions(_REVISIONS_SHOWN, _number(before, "after") if before else None)
    has_buffer = bool(state.collections)
    return ScreenContent(
        "documents.html",
        f"Documents: {counted(len(state.collections), 'collections')} in the buffer"
        if has_buffer
        else "Documents: nothing in the buffer",
        {
            "state": state,
            **(_checked(deps, state.buffer.revision) if has_buffer else {}),
            "page": page,
            "comparison": reader.compare(()).collections if page.items else [],
        },
        mood="busy" if has_buffer else "ok",
        copies=Copies(
            api_path("/configdocs"),
            cli="staging-api documents status",
            python="print(client.documents.status())",
            sql="SELECT * FROM document_revisions ORDER BY number DESC LIMIT :limit;",
            values={"limit": _REVISIONS_SHOWN},
        ),
    )


def show_revision(deps: UiDependencies, view: View) -> ScreenContent:
    """Show a revision, and its differences from the previous revision or another one."""
    reader = deps.api.documents.reader
    number = _number(view.params["number"], "number")
    revision = reader.find(number)
    old = _number(view.query.get("old") or str(number - 1), "old")
    found = reader.differences(ComparisonRequest(old, number, False, False, None, _CHANGES_SHOWN))
    return ScreenContent(
        "document_revision.html",
        f"Revision {number} of the documents",
        {"revision": revision, "old": old, "changes": found.changes, "more": found.more},
        live=False,
        copies=Copies(
            api_path("/document-differences", old=old, new=number),
            cli=f"staging-api documents diff {old} {number}",
            sql="SELECT * FROM document_revisions WHERE number = :number;",
            values={"number": number},
        ),
    )


def _checked(deps: UiDependencies, number: int) -> Mapping[str, Any]:
    """Return the faults of the buffer, as a commit would find them, and why there are none."""
    findings: Sequence[Finding] = ()
    try:
        findings = deps.api.documents.reader.rendered(number).findings
    except Unavailable:
        raise
    except StagingApiError as error:
        # A key that is missing, for one: the rest of the page still holds.
        return {"findings": (), "unchecked": error.detail}
    return {"findings": findings, "unchecked": None}


def _number(text: str, field: str) -> int:
    # `isdecimal` alone accepts digits of other scripts. Nine digits fit into the column.
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004 - an int
        raise Invalid.field(field, "must be the number of a revision")
    return int(text)


def _author(view: View, form: Form) -> ChangeOrigin:
    return ChangeOrigin(view.origin, form.get("reason") or None)


def _commit(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    reviewed = _number(form.get("revision", ""), "revision")
    # By the number that the page showed: the reader has not seen documents posted since then.
    result = deps.api.documents.commit(CommitRequest(reviewed=reviewed), _author(view, form))
    if not result.committed:
        raise Conflict("the buffer has faults, so it was not committed: see its validation")
    return ActionDone(_PATH)


def _discard(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    deps.api.documents.discard(None, _author(view, form))
    return ActionDone(_PATH)


def _roll_back(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    number = _number(view.params["number"], "number")
    # The buffer may be the work of others: only the command line can overwrite it.
    deps.api.documents.roll_back(number, _author(view, form), over_buffer=False)
    return ActionDone(_PATH)


COMMIT = ScreenAction("POST /commitconfigdocs", _commit, "The documents are committed.")
DISCARD = ScreenAction("DELETE /document-buffer", _discard, "The buffer is discarded.")
ROLL_BACK = ScreenAction(
    "POST /document-revisions/{number:int}/rollback",
    _roll_back,
    "The buffer is equal to that revision; review and commit it.",
)
