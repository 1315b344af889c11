"""The use cases of uploads after intake: show, list, accept and reject.

What if the process dies? A decision is one transaction, which also lifts the suite's hold.
"""

from dataclasses import dataclass

from staging_api.db.engine import Database
from staging_api.errors import Conflict, Invalid
from staging_api.paging import Page, page_of
from staging_api.publishing.model import Upload
from staging_api.publishing.rows import apt_archives, decisions, uploads
from staging_api.vocabulary.publishing import OPEN_UPLOAD_STATES


@dataclass(frozen=True)
class UploadService:
    """The use cases of uploads that need no lock."""

    database: Database

    def find(self, upload_id: str) -> Upload:
        """Return one upload.

        Raises:
            NotFound: there is no such upload.
        """
        with self.database.connect() as conn:
            return uploads.find_upload(conn, upload_id)

    def page(self, name: str, *, limit: int, after: str | None, state: str | None) -> Page[Upload]:
        """List the uploads of an archive, newest first.

        Raises:
            NotFound: there is no such archive.
        """
        with self.database.connect() as conn:
            archive_id = apt_archives.find_apt_archive(conn, name).id
            return page_of(
                lambda count: uploads.list_uploads(
                    conn, archive_id, limit=count, after=after, state=state
                ),
                limit,
            )

    def accept(self, upload_id: str, caller: str, reason: str = "") -> Upload:
        """Accept an upload; if its suite is held at older packages, lift the hold and add a note.

        The reason is added to the note, too, if there is one.

        Raises:
            NotFound: there is no such upload.
            Conflict: the upload has already been accepted or rejected.
        """
        with self.database.begin() as conn:
            done = uploads.decide(
                conn,
                upload_id,
                state="accepted",
                before=OPEN_UPLOAD_STATES,
                caller=caller,
                reason="",
            )
            if done:
                decisions.add_upload_decision(conn, upload_id, caller, "accept", reason)
            if done and reason:
                uploads.note_upload(conn, upload_id, f"accepted: {reason}")
            upload = uploads.find_upload(conn, upload_id)
            if done and apt_archives.lift_for(conn, upload_id, caller):
                uploads.note_upload(conn, upload_id, lifted_note(upload.suite))
                upload = uploads.find_upload(conn, upload_id)
        return _decided(upload, "accepted", done=done)

    def reject(self, upload_id: str, caller: str, reason: str) -> Upload:
        """Reject an upload; an accepted upload can be rejected until a run has published it.

        Raises:
            NotFound: there is no such upload.
            Invalid: the reason is missing.
            Conflict: the upload has already been rejected, or is done.
        """
        if not reason:
            raise Invalid.field("reason", "an upload is rejected for a reason")
        with self.database.begin() as conn:
            done = uploads.decide(
                conn,
                upload_id,
                state="rejected",
                before=(*OPEN_UPLOAD_STATES, "accepted"),
                caller=caller,
                reason=reason,
            )
            if done:
                decisions.add_upload_decision(conn, upload_id, caller, "reject", reason)
            upload = uploads.find_upload(conn, upload_id)
        return _decided(upload, "rejected", done=done)


def lifted_note(suite: str) -> str:
    """Return the note for an upload that ends the hold of its suite."""
    return (
        f"{suite} was held at older packages, which this lifts:"
        " clients see the published packages after the next run"
    )


def _decided(upload: Upload, state: str, *, done: bool) -> Upload:
    if not done:
        raise Conflict(f"upload {upload.id} is {upload.state}: it cannot be {state} now")
    return upload
