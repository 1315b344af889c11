"""The processes of the service: each writes a row while it runs, for people to look at."""
