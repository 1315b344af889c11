"""The lock beside other lock designs: all on one PostgreSQL, in turns, in one run."""
