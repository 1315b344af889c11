"""Mutation testing: change the project in one place, see whether a test fails: ``make mutants``.

mutmut 3 changes only the bodies of Python functions, cosmic-ray changes files in place; and
neither changes SQL, deletes a sync or a rename, or picks the tests that reach a process or a table.
So this project has its own small driver over `ast`; coverage.py records which test file ran which
line.

Every mutant is tried in a copy of the tree in a temporary folder. If the driver dies, that folder
stays behind, and the working tree is as it was.
"""
