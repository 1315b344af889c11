"""How many pods one PostgreSQL serves: measured service times, and a simulation of them."""
