"""Stage a build's artifacts exactly once, however many pods and clients ask."""
