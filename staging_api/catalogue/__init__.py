"""The catalogue: which artifacts a build can have, and how each is found in its archive."""
