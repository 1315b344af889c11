"""Who is calling: credentials checked, and turned into a name and roles; knows no web framework."""
