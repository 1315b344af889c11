"""The paths of the Chromium OS devserver, unchanged for its clients of 2012 and later."""
