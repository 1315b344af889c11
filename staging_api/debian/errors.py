"""Why a package or one of its parts is refused."""


class FormatError(Exception):
    """A package is malformed, unsafe or over a limit; the text says where and why."""
