"""Errors of the embedded server, each one sentence for the operator."""


class EmbeddedPostgresError(RuntimeError):
    """The server cannot be used in this configuration: the text says why and what to do."""


class ProgramsNotInstalled(EmbeddedPostgresError):
    """There are no PostgreSQL programs to run."""
