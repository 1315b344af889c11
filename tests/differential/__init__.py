"""Random journeys through services of several configurations, which must answer alike."""
