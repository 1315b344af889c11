"""Options of a program of the tests that takes none but ``--help``."""

import argparse


def refuse_options(module: str, description: str | None) -> None:
    """Print what the program does and end, if that is asked for.

    Raises:
        SystemExit: it is asked for, or anything else is given.
    """
    argparse.ArgumentParser(prog=f"python -m {module}", description=description).parse_args()
