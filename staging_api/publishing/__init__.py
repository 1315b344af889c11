"""APT archives: packages in, index files and Releases out, without intermediate states."""
