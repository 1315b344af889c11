"""APT repositories: packages in, index files and releases out, clients never between two states."""
