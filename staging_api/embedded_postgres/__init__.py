"""A PostgreSQL server out of a wheel, started for its users and stopped after the last one."""
