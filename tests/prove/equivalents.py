"""Changes of the lock that change nothing that could be seen: what was, what it becomes, why."""

EQUIVALENT: dict[tuple[str, str], str] = {}
