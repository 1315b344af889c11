"""One module per screen: it asks the services, and gives a template and what that shows."""
