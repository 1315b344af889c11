"""The closed sets of words that tables, bodies, the client and the command line share.

One module per room; each set of words is defined there once. The sets are types, so that mypy
refuses a word that is not in the set. This package imports nothing, so that the client needs no
part of the server.
"""
