"""End of a program that runs in a fork."""

import atexit
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn


def run_to_its_end(program: Callable[[], object]) -> NoReturn:
    """Run a program, and end this process as the interpreter does, with its exit status.

    Skips the interpreter's unloading of modules, which would copy memory shared with the parent.
    """
    code: Any = None
    try:
        program()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - what the interpreter does with it
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code or 0)
