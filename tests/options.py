"""Argument check for test programs whose only option is ``--help``."""

import argparse


def refuse_options(module: str, description: str | None) -> None:
    """Print a description of the program and exit, if ``--help`` is given.

    Raises:
        SystemExit: ``--help`` or any other argument is given.
    """
    argparse.ArgumentParser(prog=f"python -m {module}", description=description).parse_args()
