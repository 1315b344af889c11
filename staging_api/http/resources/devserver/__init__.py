"""The paths of the Chromium OS devserver, for its clients of 2012 and later, as they are."""
