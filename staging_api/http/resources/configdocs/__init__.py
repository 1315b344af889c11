"""The paths of configdocs, as the clients of Airship Shipyard know them."""
