"""The steps that bring a database to the tables of `staging_api.db.tables`."""
