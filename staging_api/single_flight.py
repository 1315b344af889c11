"""Do a piece of work once for all concurrent requests of a process with the same key.

The first request does the work, the others wait for its result; each waiting request costs only a
parked thread. If the first one gives up for a reason of its own, because its client has
disconnected or its wait timed out, the next one takes over.

What if the process dies? All state is in memory; clients send their requests again.
"""

import copy
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from staging_api.clients import Client, check_connected
from staging_api.errors import ClientGone, StagingApiError, Unavailable


class WaitTimedOut(Unavailable):
    """A request has waited as long as it may; others may wait longer."""


class SingleFlight:
    """The shared work of this process, by key."""

    def __init__(self) -> None:
        #: For each running work, the waiting requests in order of arrival.
        self._followers: dict[Hashable, list[_Follower]] = {}
        self._mutex = threading.Lock()

    def is_running(self, key: Hashable) -> bool:
        """Return whether a request with this key would wait for another one."""
        return key in self._followers

    def run(self, key: Hashable, work: Callable[[], None], client: Client, deadline: float) -> None:
        """Do `work`, or wait until another request with the same key has done it.

        Args:
            deadline: monotonic time until which a request waits for another's work.

        Raises:
            ClientGone: the client closed its connection while its request waited.
            WaitTimedOut: the work of the other request was not done by the `deadline`.
            StagingApiError: raised by the work, here or in the other request.
        """
        follower = _Follower()
        with self._mutex:
            followers = self._followers.get(key)
            if followers is None:
                self._followers[key] = []
                follower.leads = True
            else:
                followers.append(follower)
        if followers is not None:
            self._follow(followers, follower, client, deadline)
        if follower.leads:
            with self._leading(key):
                # The client may have disconnected while the request waited to lead: then the next
                # one does the work.
                check_connected(client)
                work()
        elif follower.error is not None:
            # A copy: raising writes a traceback into the exception, in each thread.
            raise copy.copy(follower.error)

    def _follow(
        self, followers: list["_Follower"], follower: "_Follower", client: Client, deadline: float
    ) -> None:
        with client.waiting(follower.wake.set):
            follower.wake.wait(max(0.0, deadline - time.monotonic()))
        with self._mutex:
            # The outcome, or the lead, may have arrived between the end of the wait and this lock.
            if follower.is_over or follower.leads:
                return
            followers.remove(follower)
        check_connected(client)
        raise WaitTimedOut("another request's work on the same did not end in time")

    @contextmanager
    def _leading(self, key: Hashable) -> Iterator[None]:
        try:
            yield
        except (ClientGone, WaitTimedOut):
            self._hand_over(key)
            raise
        except StagingApiError as error:
            self._end(key, error)
            raise
        # A fault of this program, or an interrupt: it says nothing about the work, so the next
        # request retries.
        except BaseException:
            self._hand_over(key)
            raise
        else:
            self._end(key, None)

    def _end(self, key: Hashable, error: StagingApiError | None) -> None:
        """Pass the outcome to all followers; later requests start the work anew."""
        with self._mutex:
            for follower in self._followers.pop(key):
                follower.is_over, follower.error = True, error
                follower.wake.set()

    def _hand_over(self, key: Hashable) -> None:
        """Let the request that has waited longest do the work; if none waits, remove the key."""
        with self._mutex:
            if not self._followers[key]:
                del self._followers[key]
                return
            following = self._followers[key].pop(0)
            following.leads = True
            following.wake.set()


@dataclass
class _Follower:
    """A request that waits for the work of another one."""

    wake: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    is_over: bool = False
    error: StagingApiError | None = None
