"""A form is done once, however often its button is pressed: as the API's Idempotency-Key.

The page carries a new key in the field ``once``. Where an action led is kept under it, in the table
of kept answers, by the holder of the key's lock: the same form sent again leads to the same place.

What if the process dies? In the action: the key's lock runs out, and the form sent again does what
is left to do. Before the place is kept: the same, and it finds the work done.
"""

import hashlib
import json
from collections.abc import Callable

from staging_api.errors import IdempotencyKeyBusy, IdempotencyKeyReused, Invalid, LockHeld
from staging_api.locks.hold import Locks, RequestOrigin, hold
from staging_api.locks.model import IDEMPOTENCY
from staging_api.locks.responses import KeptResponse, KeptResponses
from staging_api.ui.screen import ActionDone, Form

_WAIT_SECONDS = 10.0
_SEE_OTHER = 303
#: Of a key, in characters; ours have 26.
_LONGEST_KEY = 100


def done_once(
    locks: Locks, origin: RequestOrigin, form: Form, act: Callable[[], ActionDone]
) -> ActionDone:
    """Do `act`, or return where it led when this form was sent before.

    Raises:
        Invalid: the key is too long.
        IdempotencyKeyBusy: the first request with this form still runs.
        IdempotencyKeyReused: the page's key came before with other fields.
        StagingApiError: of `act`; nothing is kept, so the form can be sent again.
    """
    if len(form["once"]) > _LONGEST_KEY:
        raise Invalid.field("once", f"must be at most {_LONGEST_KEY} characters")
    key = f"page {form['once']}"
    digest = hashlib.sha256(json.dumps(dict(form), sort_keys=True).encode()).hexdigest()
    kept = KeptResponses(locks)
    # A space parts caller and key, so that no caller's name can reach into another's keys.
    scope = f"{origin.caller.replace('%', '%25').replace(' ', '%20')} {key}"
    # The lock of the key is the outer one here: a second press waits for the first one's answer.
    try:
        with hold(locks, IDEMPOTENCY, scope, origin, _WAIT_SECONDS) as held:
            found = kept.find(origin.caller, key)
            if found is None:
                done = act()
                answer = KeptResponse(digest, _SEE_OTHER, {"location": done.location}, b"")
                kept.keep(held, origin.caller, key, answer)
                return done
    except LockHeld as error:
        if error.extra["lock"]["kind"] != IDEMPOTENCY.name:
            raise
        raise IdempotencyKeyBusy(
            "this form was sent a moment ago, and is being worked on",
            retry_after_seconds=error.retry_after_seconds,
        ) from None
    if found.request_sha256 != digest:
        raise IdempotencyKeyReused("this page was sent before, filled in otherwise: reload it")
    return ActionDone(found.headers["location"])
