"""``/ui/audit/csv``: the answer to an auditor's question as a file."""

import csv
import io

import falcon

from staging_api.staging.audit_questions import cell
from staging_api.ui.dependencies import UiResource
from staging_api.ui.screens.audit import given_of

#: Rows of a file; what is longer is for the command line or psql.
_ROWS = 100_000
#: What a spreadsheet takes for a formula where a text begins so.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class AuditCsv(UiResource):
    """An answer as comma-separated values."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send it.

        Raises:
            NotFound: there is no such question.
            Invalid: of a parameter.
        """
        query = {name: req.get_param(name, default="") for name in req.params}
        question = self._deps.api.audit.find(query.get("question", ""))
        answer = self._deps.api.audit.ask(question, given_of(query), _ROWS)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_harmless(value) for value in row] for row in answer.rows)
        if answer.more:
            # One cell only: a program that takes it for a row fails, and does not think it has all.
            writer.writerow(
                [f"cut off after {_ROWS} rows: `staging-api audit {question.name}` has all"]
            )
            resp.set_header("X-Truncated", "true")
        resp.content_type = "text/csv; charset=utf-8"
        resp.data = out.getvalue().encode()
        resp.set_header("Content-Disposition", f'attachment; filename="{question.name}.csv"')
        resp.set_header("Content-Security-Policy", "default-src 'none'")


def _harmless(value: object) -> str:
    """Return a cell that no spreadsheet runs: an apostrophe stands before what looks like that."""
    shown = cell(value)
    # Only texts: a negative number begins with - too, and is a number.
    return f"'{shown}" if isinstance(value, str) and shown.startswith(_FORMULA) else shown
