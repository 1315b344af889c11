"""Error codes of the client library and the command line, which no response has."""

from collections.abc import Mapping

from staging_api.error_help.answers import ErrorHelp

OF_CLIENTS: Mapping[str, ErrorHelp] = {
    "unreachable": ErrorHelp(
        "Nothing listens at the address of the service, or its name is unknown.",
        "Check STAGING_SERVER, and that the service runs there.",
    ),
    "deadline_over": ErrorHelp(
        "The work was not done within the caller's deadline; the service may still continue.",
        "Wait for the staging by its id, or allow more time.",
    ),
    "disk_failed": ErrorHelp(
        "A file of this machine cannot be read or written; the detail names it.",
        "Free disk space, or choose a writable folder.",
    ),
    "answer_unusable": ErrorHelp(
        "The response is not from this service, but from another program, a portal or a proxy.",
        "Check the address; open it in a browser to see what answers.",
    ),
    "client_gone": ErrorHelp(
        "The client closed its connection while its request waited; only the log has this error.",
        "No action is needed. The request can be sent again with the same Idempotency-Key.",
    ),
    "not_installed": ErrorHelp(
        "The verb needs an extra of the package that is not installed, or a different system.",
        "Run the `pip install` command in the message; verbs of the service run on Linux only.",
    ),
    "catalogue_invalid": ErrorHelp(
        "A line of a catalogue file is wrong; the service checks the file when it starts.",
        "Correct the line that the message names; `staging-api catalogue --check` tests a file.",
    ),
    "migration_failed": ErrorHelp(
        "PostgreSQL refused a statement of a schema migration; nothing was changed.",
        "Read its message; remove the obstacle and run `staging-api migrate` again.",
    ),
    "migration_refused": ErrorHelp(
        "The role of the database URL may not change the schema.",
        "Run `staging-api migrate` with the role that owns the tables.",
    ),
    "address_taken": ErrorHelp(
        "Another program listens at the address of STAGING_BIND.",
        "End it, or choose another address.",
    ),
    "database_unusable": ErrorHelp(
        "The embedded database is not installed, or its data have another owner or version.",
        "Do what the message says; `pip install 'staging_api[embedded]'` installs the server.",
    ),
}
