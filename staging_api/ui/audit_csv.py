"""``/ui/audit/csv``: the answer to an auditor's question as a file."""

import csv
import io

import falcon

from staging_api.staging.audit_questions import cell
from staging_api.ui.dependencies import UiResource
from staging_api.ui.screens.audit import given_of

#: Maximum number of rows; use the command line or psql for longer answers.
_ROWS = 100_000
#: First characters of texts that a spreadsheet interprets as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class AuditCsv(UiResource):
    """Answers as comma-separated values."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the answer.

        Raises:
            NotFound: there is no such question.
            Invalid: a parameter is wrong.
        """
        query = {name: req.get_param(name, default="") for name in req.params}
        question = self._deps.api.audit.find(query.get("question", ""))
        answer = self._deps.api.audit.ask(question, given_of(query), _ROWS)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_harmless(value) for value in row] for row in answer.rows)
        if answer.more:
            # A single cell: a program that reads it as a row fails, instead of taking the answer as
            # complete.
            writer.writerow(
                [f"cut off after {_ROWS} rows: `staging-api audit {question.name}` has all"]
            )
            resp.set_header("X-Truncated", "true")
        resp.content_type = "text/csv; charset=utf-8"
        resp.data = out.getvalue().encode()
        resp.set_header("Content-Disposition", f'attachment; filename="{question.name}.csv"')
        resp.set_header("Content-Security-Policy", "default-src 'none'")


def _harmless(value: object) -> str:
    """Return a cell that no spreadsheet executes: an apostrophe precedes a possible formula."""
    shown = cell(value)
    # Only texts: a negative number begins with -, too, and is not a formula.
    return f"'{shown}" if isinstance(value, str) and shown.startswith(_FORMULA) else shown
