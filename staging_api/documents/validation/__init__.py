"""Validation: built-in kinds, and data against the DataSchema documents of the revision."""
