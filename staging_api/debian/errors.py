"""Error for refused packages and their parts."""


class FormatError(Exception):
    """A package is malformed, unsafe or over a limit; the message says where and why."""
