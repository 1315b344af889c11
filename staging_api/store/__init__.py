"""The store: blobs named by their sha256, in a folder or in a bucket."""
