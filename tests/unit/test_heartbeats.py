"""What a process says of itself."""

from staging_api.heartbeats.model import ProcessLoad


def test_a_process_that_says_nothing_of_its_load_does_nothing_and_goes_on() -> None:
    idle = ProcessLoad()
    assert (idle.busy, idle.waiting, idle.draining, idle.refused) == (0, 0, False, 0)
