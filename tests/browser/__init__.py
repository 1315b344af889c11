"""The pages of the dashboard in a real browser, over a service in which much is going on."""
