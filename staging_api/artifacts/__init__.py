"""What is staged: the catalogue of artifacts, and the store of their bytes."""
