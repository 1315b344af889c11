"""All SQL statements on documents; each function takes the connection to use."""
