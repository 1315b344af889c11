"""Change the project in one place at a time, and see whether the tests notice: ``make mutants``.

mutmut 3 changes only the bodies of Python functions, cosmic-ray changes files where they stand; and
neither changes SQL, deletes a sync or a rename, or picks the tests that reach a process or a table.
So the driver is ours, a small one over `ast`; coverage.py is taken for what it does well: it
records which test file ran which line.

Every mutant is tried in a copy of the tree in a temporary folder. If the driver dies, that folder
stays behind, and the working tree is as it was.
"""
