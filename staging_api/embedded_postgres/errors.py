"""Why the server cannot be used, in one sentence for the operator."""


class EmbeddedPostgresError(RuntimeError):
    """The server cannot be used as it is set up: the text says why and what to do."""


class ProgramsNotInstalled(EmbeddedPostgresError):
    """There are no PostgreSQL programs to run."""
