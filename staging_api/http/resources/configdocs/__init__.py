"""The paths of configdocs, compatible with the clients of Airship Shipyard."""
