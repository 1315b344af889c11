"""The catalogue: the artifacts that a build can have, and how each is found in its archive."""
