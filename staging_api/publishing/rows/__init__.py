"""All SQL statements on the rows of the publisher."""
